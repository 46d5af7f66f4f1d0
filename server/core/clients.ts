import { hash } from 'node:crypto'
import type { BareJid } from '#stanzas/jid.ts'
import type { Devices } from './devices.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'

/** A client that has access to an account, as people see it (XEP-0494 §3.1). */
export interface Client {
  readonly id: string
  /** Whether it has said which installation it is, so that it is known while it is away and its access can be taken back. */
  readonly isNamed: boolean
  readonly isConnected: boolean
  readonly firstSeenMs: number
  readonly lastSeenMs: number
  readonly knowsPassword: boolean
  readonly hasToken: boolean
  readonly software: string | undefined
  readonly device: string | undefined
}

/** The clients of an account: those that say which they are, and the sessions of those that do not, while they last. */
export const clientsOf = async (
  account: BareJid,
  { devices, sessions, nowMs }: { readonly devices: Devices; readonly sessions: Sessions; readonly nowMs: number },
): Promise<readonly Client[]> => {
  const known = await devices.list(account)
  const bound = sessions.of(account)
  const isLiving = (expiresAtMs = 0): boolean => expiresAtMs > nowMs
  const named = known.map(({ id, firstSeenMs, lastSeenMs, knowsPassword, current, next, software, device }): Client => {
    const isConnected = bound.some((session) => session.device === id)
    return {
      id,
      isNamed: true,
      isConnected,
      firstSeenMs,
      lastSeenMs: isConnected ? nowMs : lastSeenMs,
      knowsPassword,
      hasToken: isLiving(current?.expiresAtMs) || isLiving(next?.expiresAtMs),
      software,
      device,
    }
  })
  return [...named, ...bound.filter(({ device }) => device === undefined).map((session) => nameless(session, nowMs))]
}

const nameless = ({ jid, connectedAtMs }: Session, nowMs: number): Client => ({
  id: hash('sha256', jid, 'base64url').slice(0, 16),
  isNamed: false,
  isConnected: true,
  firstSeenMs: connectedAtMs,
  lastSeenMs: nowMs,
  knowsPassword: true,
  hasToken: false,
  software: undefined,
  device: undefined,
})
