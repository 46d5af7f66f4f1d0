import { vi } from 'vitest'
import type { Log, LogEntry } from '#storage/shapes.ts'

/** Watches what is read from a log; tells how many bytes of stanzas came at once at most, and in all. */
export const heaviestRead = (log: Log): { readonly most: number; readonly all: number } => {
  const seen = { most: 0, all: 0 }
  const weigh = async (page: Promise<readonly LogEntry[]>): Promise<readonly LogEntry[]> => {
    const bytes = (await page).reduce((sum, { stanza }) => sum + stanza.length, 0)
    seen.most = Math.max(seen.most, bytes)
    seen.all += bytes
    return page
  }
  const { range, pending, search } = log
  vi.spyOn(log, 'range').mockImplementation((...query) => weigh(range(...query)))
  vi.spyOn(log, 'pending').mockImplementation((...query) => weigh(pending(...query)))
  vi.spyOn(log, 'search').mockImplementation((...query) => weigh(search(...query)))
  return seen
}
