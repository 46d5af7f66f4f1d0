import type { BareJid } from '#stanzas/jid.ts'
import type { Log, LogEntry, LogFilter, LogPageSize } from '#storage/shapes.ts'

/** What is read at once: a moment of the store, whatever the entries are like. */
const SLICE = { limit: 100, maxBytes: 262_144 }

const bytesOf = (page: readonly LogEntry[]): number => page.reduce((sum, { stanza }) => sum + stanza.length, 0)

/** Whether there may be more behind a page that was asked for in this size. */
export const mayHaveMore = (page: readonly LogEntry[], { limit, maxBytes }: LogPageSize): boolean =>
  page.length >= limit || (maxBytes !== undefined && bytesOf(page) >= maxBytes)

/** The newest entries that the filter lets through, slice by slice, until they are so many or have so many bytes; whoever has found what he wants stops. */
export async function* newest(
  entries: Pick<Log, 'range'>,
  owner: BareJid,
  filter: LogFilter,
  { limit, maxBytes }: Required<LogPageSize>,
): AsyncGenerator<readonly LogEntry[], void, void> {
  let rest = filter
  for (let [left, bytesLeft] = [limit, maxBytes]; left > 0 && bytesLeft > 0; ) {
    const size = { limit: Math.min(SLICE.limit, left), maxBytes: Math.min(SLICE.maxBytes, bytesLeft) }
    const slice = await entries.range(owner, { ...rest, ...size, backwards: true })
    yield slice
    const last = slice.at(-1)
    if (last === undefined || !mayHaveMore(slice, size)) return
    left -= slice.length
    bytesLeft -= bytesOf(slice)
    rest = { ...filter, before: last.id }
  }
}
