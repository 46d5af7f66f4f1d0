import { Binary, type Filter } from 'mongodb'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import type { LogEntry, LogFilter, LogPlace, LogRecord } from '../shapes.ts'
import type { LogDocument, LogKind } from './collections.ts'
import { beginningWith, idOf, idText, part } from './keys.ts'

const KINDS: readonly { readonly kind: LogKind; readonly isText: boolean; readonly isTransient: boolean }[] = [
  { kind: 't', isText: true, isTransient: false },
  { kind: 'n', isText: false, isTransient: false },
  { kind: 'u', isText: true, isTransient: true },
  { kind: 'v', isText: false, isTransient: true },
]

export const TRANSIENT_KINDS: readonly LogKind[] = ['u', 'v']

const kindOf = (isText: boolean, isTransient: boolean): LogKind => (isTransient ? (isText ? 'u' : 'v') : isText ? 't' : 'n')

/** The key of an owner's entry. */
export const logKey = (owner: string, id: number): string => `${part(owner)} ${idText(id)}`

/** All keys of an owner's entries. */
export const logKeys = (owner: string): { readonly $gte: string; readonly $lt: string } => beginningWith(`${part(owner)} `)

/** What all conversations of an owner about texts begin with. */
export const textsOf = (owner: string): string => `${part(owner)} t `

/** One owner's view of a record, as it is kept. `others` are the record's other owners, when they are not just the peer. */
export const documentOf = (
  { id, atMs, isText }: LogRecord,
  { owner, peer, direction, isPending, isTransient }: LogPlace,
  stanza: Binary,
  others: readonly string[] | undefined,
): LogDocument => {
  const kind = kindOf(isText, isTransient)
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
  isText: k === 't' || k === 'u',
  takenAtMs: a,
})

/** The filter of an owner's entries; it always bounds `_id`, which is what shards are told apart by. */
export const filterOf = (owner: string, filter: LogFilter): Filter<LogDocument> => {
  const kinds = KINDS.filter(
    ({ isText, isTransient }) =>
      (filter.isText === undefined || filter.isText === isText) &&
      (filter.isTransient === undefined || filter.isTransient === isTransient),
  ).map(({ kind }) => kind)
  const { peer, direction, fromMs, untilMs } = filter
  return {
    _id: idsBetween(owner, filter),
    ...(peer === undefined
      ? kinds.length === KINDS.length
        ? {}
        : { k: { $in: kinds } }
      : { c: { $in: kinds.map((kind) => `${part(owner)} ${kind} ${peer}`) } }),
    ...(direction === undefined ? {} : { d: direction === 'in' ? 1 : 0 }),
    ...(fromMs === undefined && untilMs === undefined
      ? {}
      : { t: { ...(fromMs === undefined ? {} : { $gte: fromMs }), ...(untilMs === undefined ? {} : { $lte: untilMs }) } }),
  }
}

const idsBetween = (owner: string, { after, before }: LogFilter): { $gt?: string; $gte?: string; $lt: string } => {
  const all = logKeys(owner)
  return {
    ...(after === undefined || after < 0 ? { $gte: all.$gte } : { $gt: logKey(owner, after) }),
    $lt: before === undefined || before > Number.MAX_SAFE_INTEGER ? all.$lt : logKey(owner, Math.max(before, 0)),
  }
}
