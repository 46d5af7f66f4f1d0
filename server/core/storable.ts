import { NS_CHAT_STATES, NS_CLIENT, NS_HINTS, NS_STANZA_ID } from '#stanzas/namespaces.ts'
import type { Stanza } from '#stanzas/stanza.ts'

/** Payloads that mean nothing by themselves or nothing later: typing, hints, ids, the like. */
const EPHEMERAL: ReadonlySet<string> = new Set([
  NS_CHAT_STATES,
  NS_HINTS,
  NS_STANZA_ID,
  'urn:xmpp:rtt:0',
  'jabber:x:event',
  'http://jabber.org/protocol/nick',
  'urn:xmpp:carbons:2',
  'urn:xmpp:mam:2',
  'urn:xmpp:delay',
])

/**
 * Whether a message is kept: recorded in the ledger and delivered later when no device is there.
 * XEP-0160 §3 names the types, XEP-0334 §4 the hints; a message with state but no body (a receipt, a marker, a reaction, a call) is kept, a bare chat state is not.
 */
export const isStorable = (message: Stanza): boolean => {
  const type = message.type
  if (type === 'error' || type === 'groupchat' || type === 'headline') return false
  const payloads = message.payloads
  let isMeaningful = false
  let hasHints = false
  for (const payload of payloads) {
    if (payload.ns === NS_HINTS) hasHints = true
    else if (payload.ns === NS_CLIENT) isMeaningful ||= payload.name === 'body' || payload.name === 'subject'
    else isMeaningful ||= !EPHEMERAL.has(payload.ns)
  }
  if (!hasHints) return isMeaningful
  if (message.has(NS_HINTS, 'no-store')) return false
  return isMeaningful || message.has(NS_HINTS, 'store')
}

/** XEP-0384 in both its forms; a message of theirs without a payload only passes a key on. */
const NS_ENCRYPTED: readonly string[] = ['eu.siacs.conversations.axolotl', 'urn:xmpp:omemo:2']

/** Whether a message is what people call one, and counts as unread: it has text, in the open or encrypted; receipts, markers and the like have none. */
export const isText = (message: Stanza): boolean => {
  if (message.type === 'error') return false
  if (message.has(NS_CLIENT, 'body')) return true
  for (const { ns, name } of message.payloads) {
    if (name === 'encrypted' && NS_ENCRYPTED.includes(ns)) return message.get(ns, name)?.getChild('payload') !== undefined
  }
  return false
}
