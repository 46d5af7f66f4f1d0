import { Binary, type Filter } from 'mongodb'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import type { LogEntry, LogFilter, LogPlace, LogRecord } from '../shapes.ts'
import type { LogDocument, LogKind } from './collections.ts'
import { beginningWith, idOf, idText, part } from './keys.ts'

interface Kind {
  readonly kind: LogKind
  readonly isText: boolean
  readonly isTransient: boolean
  /** Where it has one: so the index of conversations tells what came from what was sent. */
  readonly direction?: 'in' | 'out'
}
const KINDS: readonly Kind[] = [
  { kind: 's', isText: true, isTransient: false, direction: 'out' },
  { kind: 't', isText: true, isTransient: false, direction: 'in' },
  { kind: 'n', isText: false, isTransient: false },
  { kind: 'u', isText: true, isTransient: true },
  { kind: 'v', isText: false, isTransient: true },
]

export const TRANSIENT_KINDS: readonly LogKind[] = ['u', 'v']

const kindOf = (isText: boolean, isTransient: boolean, direction: 'in' | 'out'): LogKind => {
  if (isTransient) return isText ? 'u' : 'v'
  return isText ? (direction === 'in' ? 't' : 's') : 'n'
}

/** The key of an owner's entry. */
export const logKey = (owner: string, id: number): string => `${part(owner)} ${idText(id)}`

/** All keys of an owner's entries. */
export const logKeys = (owner: string): { readonly $gte: string; readonly $lt: string } => beginningWith(`${part(owner)} `)

/** All conversations of an owner, with the texts that it sent and with those that came to it. */
export const textsOf = (owner: string): { readonly $gte: string; readonly $lt: string } => ({
  $gte: beginningWith(`${part(owner)} s `).$gte,
  $lt: beginningWith(`${part(owner)} t `).$lt,
})

/** The texts that came to an owner from a peer. */
export const receivedFrom = (owner: string, peer: string): string => `${part(owner)} t ${peer}`

/** Whether what an owner's query found is of the texts that it sent. */
export const isSent = (owner: string, conversation: string): boolean => conversation[part(owner).length + 1] === 's'

/** One owner's view of a record, as it is kept. `others` are the record's other owners, when they are not just the peer. */
export const documentOf = (
  { id, atMs, isText }: LogRecord,
  { owner, peer, direction, isPending, isTransient }: LogPlace,
  stanza: Binary,
  others: readonly string[] | undefined,
): LogDocument => {
  const kind = kindOf(isText, isTransient, direction)
  const name = part(owner)
  return {
    _id: `${name} ${idText(id)}`,
    c: `${name} ${kind} ${peer}`,
    k: kind,
    d: direction === 'in' ? 1 : 0,
    ...(isPending ? { n: true } : {}),
    t: atMs,
    s: stanza,
    ...(others === undefined ? {} : { w: others }),
  }
}

/** The bytes of a stanza, for one document or several. */
export const binaryOf = (stanza: string): Binary => new Binary(Buffer.from(stanza, 'latin1'))

/** The peer in a document that an owner's query found. */
export const peerOf = (owner: string, conversation: string): string => conversation.slice(part(owner).length + 3)

export const entryOf = (owner: BareJid, { _id, c, k, d, n, t, a, s }: LogDocument): LogEntry => ({
  id: idOf(_id),
  atMs: t,
  stanza: wire(Buffer.from(s.buffer.buffer, s.buffer.byteOffset, s.position).toString('latin1')),
  owner,
  peer: peerOf(owner, c),
  direction: d === 1 ? 'in' : 'out',
  isPending: n === true,
  isTransient: TRANSIENT_KINDS.includes(k),
  isText: k === 's' || k === 't' || k === 'u',
  takenAtMs: a,
})

/** The filter of an owner's entries; it always bounds `_id`, which is what shards are told apart by. */
export const filterOf = (owner: string, filter: LogFilter): Filter<LogDocument> => {
  const kinds = KINDS.filter(
    ({ isText, isTransient, direction }) =>
      (filter.isText === undefined || filter.isText === isText) &&
      (filter.isTransient === undefined || filter.isTransient === isTransient) &&
      (filter.direction === undefined || direction === undefined || filter.direction === direction),
  )
  const { peer, direction, fromMs, untilMs } = filter
  return {
    _id: idsBetween(owner, filter),
    ...(peer === undefined
      ? kinds.length === KINDS.length
        ? {}
        : { k: { $in: kinds.map(({ kind }) => kind) } }
      : { c: { $in: kinds.map(({ kind }) => `${part(owner)} ${kind} ${peer}`) } }),
    ...(direction === undefined || kinds.every((kind) => kind.direction === direction) ? {} : { d: direction === 'in' ? 1 : 0 }),
    ...(fromMs === undefined && untilMs === undefined
      ? {}
      : { t: { ...(fromMs === undefined ? {} : { $gte: fromMs }), ...(untilMs === undefined ? {} : { $lte: untilMs }) } }),
  }
}

/** The keys of an owner's entries between two ids. */
export const idsBetween = (owner: string, { after, before }: LogFilter): { $gt?: string; $gte?: string; $lt: string } => {
  const all = logKeys(owner)
  return {
    ...(after === undefined || after < 0 ? { $gte: all.$gte } : { $gt: logKey(owner, after) }),
    $lt: before === undefined || before > Number.MAX_SAFE_INTEGER ? all.$lt : logKey(owner, Math.max(before, 0)),
  }
}
