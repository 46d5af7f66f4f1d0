import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import type { Assembly } from '#server/assembly.ts'
import { deriveCredentials } from '#server/core/credentials.ts'
import { parseJid } from '#stanzas/jid.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { Actor } from './actor.ts'
import { assembleServer, type ConversationOptions } from './conversation.ts'
import { FakeClock } from './fake-clock.ts'
import type { Line } from './lines.ts'
import { dial, listening, localCertificates } from './listening.ts'

const DOMAIN = 'verona.example'

/** A client on a real socket; `receivesNothing` has no meaning there. */
export interface SocketClient {
  readonly actor: Actor
  readonly socket: Socket
}

/** A client under TLS. */
export interface SecureClient extends SocketClient {
  readonly socket: TLSSocket
}

/** A server behind a real listener with TLS. */
export interface SecureStage {
  readonly server: Assembly
  readonly clock: FakeClock
  /** Connects, and says nothing. */
  visit(): Promise<SocketClient>
  /** Goes on under TLS, on a connection that is there or on a new one. */
  secures(version: SecureVersion, plain?: SocketClient): Promise<SecureClient>
}

/** Opens a server with one account, juliet with the password `secret`, until the test ends. */
export const secureStage = async (security: 'starttls' | 'direct', options: ConversationOptions = {}): Promise<SecureStage> => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const config = { login: { allowPlainWithoutTls: false }, ...options.config }
  const server = await assembleServer({ ...options, config }, clock, driver)
  onTestFinished(() => server.stop())
  const jid = parseJid(`juliet@${DOMAIN}`)?.bare
  if (jid === undefined) throw new Error('no JID')
  const credentials = await deriveCredentials('secret', { iterations: 4096 })
  await driver.accounts.create({ jid, createdAtMs: clock.nowMs(), credentials, isDisabled: false })
  const certificates = localCertificates()
  const ca = readFileSync(certificates.caPath ?? '')
  const { port } = await listening([{ security, service: { kind: 'xmpp', accept: server.accept } }], { certificates })
  const visit = async (): Promise<SocketClient> => {
    const { socket } = await dial(port)
    return { socket, actor: actorOn(socket) }
  }
  return {
    server,
    clock,
    visit,
    async secures(version, plain) {
      const { socket: below } = plain ?? (await visit())
      below.removeAllListeners('data')
      const socket = connect({ socket: below, ca, servername: 'localhost', minVersion: version, maxVersion: version })
      onTestFinished(() => void socket.destroy())
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).once('error', reject)
      })
      return { socket, actor: actorOn(socket) }
    },
  }
}

const actorOn = (socket: Socket): Actor => {
  const line: Line = {
    framing: 'stream',
    send: (text) => void socket.write(text),
    listen(onText, onEnd) {
      const decoder = new TextDecoder()
      socket.on('data', (bytes: Buffer) => onText(decoder.decode(bytes, { stream: true })))
      socket.on('close', onEnd)
    },
    cut: () => void socket.destroy(),
    stall: (isStalled) => void (isStalled ? socket.pause() : socket.resume()),
  }
  return new Actor(line, DOMAIN, () => Promise.resolve())
}
