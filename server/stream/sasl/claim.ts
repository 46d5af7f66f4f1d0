import { accountJid } from '#server/core/accounts.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { parseClientFirst } from './scram-messages.ts'

/** Who a client's first message claims to be, before anything of it is checked; `undefined` when it says nothing that can be read. */
export const claimedIn = (mechanism: string, message: Buffer, domain: string): BareJid | undefined => {
  const name = nameIn(mechanism, message)
  return name === undefined ? undefined : accountJid(name, domain)
}

const nameIn = (mechanism: string, message: Buffer): string | undefined => {
  if (mechanism.startsWith('SCRAM-')) {
    const first = parseClientFirst(message)
    return typeof first === 'string' ? undefined : first.username
  }
  const [first, second] = message.toString().split('\0', 2)
  return mechanism === 'PLAIN' ? second : first
}
