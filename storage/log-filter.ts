import type { LogEntry, LogFilter } from './shapes.ts'

/** Whether a filter lets an entry through. */
export const passes = (
  filter: LogFilter,
  { id, atMs, peer, direction, isText, isTransient }: Omit<LogEntry, 'stanza'>,
): boolean =>
  id > (filter.after ?? Number.NEGATIVE_INFINITY) &&
  id < (filter.before ?? Number.POSITIVE_INFINITY) &&
  atMs >= (filter.fromMs ?? Number.NEGATIVE_INFINITY) &&
  atMs <= (filter.untilMs ?? Number.POSITIVE_INFINITY) &&
  (filter.peer === undefined || peer === filter.peer) &&
  (filter.direction === undefined || direction === filter.direction) &&
  (filter.isText === undefined || isText === filter.isText) &&
  (filter.isTransient === undefined || isTransient === filter.isTransient)
