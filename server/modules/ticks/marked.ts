import { newest } from '#server/core/newest.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { NS_STANZA_ID } from '#stanzas/namespaces.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { textToLogId } from '#stanzas/stanza-id.ts'
import type { Log, LogEntry, LogId } from '#storage/shapes.ts'

/** What states and watermarks are read from. */
export type Entries = Pick<Log, 'get' | 'range' | 'conversations' | 'unread'>

/** Where a name is looked for. */
export interface Place {
  readonly account: BareJid
  readonly peer: string
  readonly direction: 'in' | 'out'
  /** Only behind this entry. */
  readonly after: LogId
}

/** Entries that are looked through for names, the newest first: 1 ms. Who has read the newest names that, and who marks each names one of the last. */
const LOOKED_AT = { limit: 200, maxBytes: 1_048_576 }
/** Longer than any client's ids. */
const MAX_NAME = 1_024
/** What looks the same in an attribute however it is written. */
const PLAIN = /^[\w.:+@/=-]+$/

/** What its sender calls a message (docs/protocol/ticks.md §3). */
export const messageIdOf = (stanza: Stanza): string | undefined => stanza.id ?? originIdOf(stanza)

const originIdOf = (stanza: Stanza): string | undefined =>
  stanza.has(NS_STANZA_ID, 'origin-id') ? stanza.get(NS_STANZA_ID, 'origin-id')?.attrs.id : undefined

/** The first of these names by which the entry is called. */
const calledIn = (names: ReadonlySet<string>, { stanza }: LogEntry): string | undefined => {
  // Of several names, or one that may be written in other ways, only reading shows it; most entries are not the one, and need not be read to see that.
  const [only] = names
  if (names.size === 1 && only !== undefined && PLAIN.test(only) && !stanza.includes(only) && !stanza.includes('&#'))
    return undefined
  const message = parseStanza(stanza)
  return [message.id, originIdOf(message)].find((name) => name !== undefined && names.has(name))
}

/** The newest entries that their sender calls so, among the latest at this place. */
export const findNamed = async (entries: Entries, place: Place, names: readonly string[]): Promise<readonly LogEntry[]> => {
  const { account, peer, direction, after } = place
  const wanted = new Set(names.filter((name) => name !== '' && name.length <= MAX_NAME))
  const found: LogEntry[] = []
  if (wanted.size === 0) return found
  for await (const slice of newest(entries, account, { peer, direction, after }, LOOKED_AT))
    for (const entry of slice) {
      const name = calledIn(wanted, entry)
      if (name === undefined) continue
      found.push(entry)
      wanted.delete(name)
      if (wanted.size === 0) return found
    }
  return found
}

/** The entry that a marker is about (docs/protocol/ticks.md §7.1): by its sender's name for it, else by that of the account's archive. */
export const findMarked = async (entries: Entries, place: Place, name: string): Promise<LogEntry | undefined> => {
  const [named] = await findNamed(entries, place, [name])
  if (named !== undefined) return named
  const id = textToLogId(name)
  if (id === undefined || id <= place.after) return undefined
  const entry = await entries.get(place.account, id)
  return entry?.peer === place.peer && entry.direction === place.direction ? entry : undefined
}
