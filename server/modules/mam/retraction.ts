import type { Passage } from '#server/core/hooks.ts'
import { newest } from '#server/core/newest.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import { el } from '#stanzas/element.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_STANZA_ID } from '#stanzas/namespaces.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { Log, LogEntry } from '#storage/shapes.ts'

/** XEP-0424 §8.1 */
export const NS_RETRACT = 'urn:xmpp:message-retract:1'
const NS_MUC_USER = 'http://jabber.org/protocol/muc#user'

/** Newest messages with the other party among which the original must be; most retractions follow their message within minutes. */
const LOOK_BACK = { limit: 1_000, maxBytes: 2_097_152 }

/** What retractions are applied to. */
export type Archives = Pick<Log, 'range' | 'replace'>

/**
 * Puts a tombstone in the place of the message that this retraction is about, for both parties; whoever did not send that message changes nothing.
 * Tells whether it was found in the recipient's archive.
 */
export const retract = async (archives: Archives, { stanza, from, to }: Retraction, nowMs: number): Promise<boolean> => {
  const original = retractedId(stanza)
  const found = original === undefined ? undefined : await find(archives, to.bare, 'in', from, original)
  if (found !== undefined) await bury(archives, found, stanza, nowMs)
  return found !== undefined || original === undefined
}

/** The same by the archive of the sender: some recipients keep nothing. */
export const retractOwn = async (archives: Archives, { stanza, from, to }: Retraction, nowMs: number): Promise<void> => {
  const original = retractedId(stanza)
  const found = original === undefined ? undefined : await find(archives, from.bare, 'out', from, original, to.bare)
  if (found !== undefined) await bury(archives, found, stanza, nowMs)
}

/** A message by which its sender takes back another. */
export type Retraction = Pick<Passage, 'stanza' | 'from' | 'to'>

/** XEP-0424 §4: a tombstone names the retraction, which therefore has an id. */
const retractedId = (stanza: Stanza): string | undefined => {
  const original = stanza.get(NS_RETRACT, 'retract')?.attrs.id
  return original === '' || stanza.id === undefined ? undefined : original
}

const bury = async (archives: Archives, { entry, message }: Found, { id }: Stanza, nowMs: number): Promise<void> => {
  const tombstone = message.restamp({
    drop: () => true,
    append: el(NS_RETRACT, 'retracted', { id, stamp: formatDateTime(nowMs) }),
  })
  await archives.replace(entry.owner, entry.id, tombstone.wire)
}

interface Found {
  readonly entry: LogEntry
  readonly message: Stanza
}

/** The newest message with that id which the retracting party sent, in the archive of one side. */
const find = async (
  archives: Archives,
  owner: BareJid,
  direction: 'in' | 'out',
  sender: Address,
  id: string,
  peer: BareJid = sender.bare,
): Promise<Found | undefined> => {
  for await (const slice of newest(archives, owner, { peer, direction }, LOOK_BACK))
    for (const entry of slice) {
      // Of what does not even hold the id nothing is read.
      if (!mayHold(entry, id)) continue
      const message = parseStanza(entry.stanza)
      if (isOriginal(message, sender, id)) return { entry, message }
    }
  return undefined
}

/** An id of other characters may be written in several ways. */
const mayHold = ({ stanza }: LogEntry, id: string): boolean => !/^[\w.:@/+=-]+$/.test(id) || stanza.includes(id)

/** XEP-0424 §5.1: it is named by its `id`; by its origin-id, where clients set one beside another id. */
const isOriginal = (message: Stanza, sender: Address, id: string): boolean => {
  if (message.id !== id && message.get(NS_STANZA_ID, 'origin-id')?.attrs.id !== id) return false
  // §5: a retraction is kept, and what was retracted stays as the first retraction left it.
  if (message.has(NS_RETRACT, 'retract') || message.has(NS_RETRACT, 'retracted')) return false
  // §5: occupants of a room share its bare JID.
  return !message.has(NS_MUC_USER, 'x') || message.from?.jid === sender.jid
}
