import type { LogFilter } from '../shapes.ts'
import { FLAG_INCOMING, FLAG_TEXT, FLAG_TRANSIENT } from './record.ts'

/** An entry as indexes hold it: everything of it but the stanza. `takenAtMs` is NaN when no time is known. */
export interface Posting {
  readonly id: number
  readonly atMs: number
  readonly peer: number
  readonly flags: number
  readonly takenAtMs: number
}

/** Is shown an entry, and says whether it wants more. */
export type Visitor = (id: number, atMs: number, peer: number, flags: number, takenAtMs: number) => boolean

/** What a page asks of an entry; both ids are excluded, both times included. */
export interface Window {
  readonly after: number
  readonly before: number
  readonly fromMs: number
  readonly untilMs: number
  readonly peer: number | undefined
  /** The flags that matter, and what they must be. */
  readonly mask: number
  readonly wanted: number
}

/** A window with everything in it. */
export const EVERYTHING: Window = {
  after: 0,
  before: Number.POSITIVE_INFINITY,
  fromMs: Number.NEGATIVE_INFINITY,
  untilMs: Number.POSITIVE_INFINITY,
  peer: undefined,
  mask: 0,
  wanted: 0,
}

/** The window of a filter, whose peer is this row of `names`. */
export const windowOf = (filter: LogFilter, peer: number | undefined): Window => {
  let [mask, wanted] = [0, 0]
  const ask = (flag: number, value: boolean | undefined): void => {
    if (value === undefined) return
    mask |= flag
    if (value) wanted |= flag
  }
  ask(FLAG_INCOMING, filter.direction === undefined ? undefined : filter.direction === 'in')
  ask(FLAG_TEXT, filter.isText)
  ask(FLAG_TRANSIENT, filter.isTransient)
  return {
    after: filter.after ?? EVERYTHING.after,
    before: filter.before ?? EVERYTHING.before,
    fromMs: filter.fromMs ?? EVERYTHING.fromMs,
    untilMs: filter.untilMs ?? EVERYTHING.untilMs,
    peer,
    mask,
    wanted,
  }
}

/** Whether an entry is inside the window. */
export const isInside = (window: Window, id: number, atMs: number, peer: number, flags: number): boolean =>
  id > window.after &&
  id < window.before &&
  atMs >= window.fromMs &&
  atMs <= window.untilMs &&
  (window.peer === undefined || peer === window.peer) &&
  (flags & window.mask) === window.wanted

/** f64 id | f64 atMs | f64 takenAtMs | u32 peer | u8 flags, little endian. */
export const POSTING_BYTES = 29
const AT = 8
const TAKEN = 16
const PEER = 24
const FLAGS = 28

/** Memory for so many packed entries, and what writes one into it; the fastest way that there is. */
export const packer = (
  count: number,
): {
  readonly packed: Buffer
  put(at: number, id: number, atMs: number, peer: number, flags: number, takenAtMs: number): void
} => {
  const packed = Buffer.allocUnsafe(count * POSTING_BYTES)
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  return {
    packed,
    put(at, id, atMs, peer, flags, takenAtMs) {
      view.setFloat64(at, id, true)
      view.setFloat64(at + AT, atMs, true)
      view.setFloat64(at + TAKEN, takenAtMs, true)
      view.setUint32(at + PEER, peer, true)
      view.setUint8(at + FLAGS, flags)
    },
  }
}

/** One entry, packed. */
export const packed = ({ id, atMs, peer, flags, takenAtMs }: Posting): Buffer => {
  const one = packer(1)
  one.put(0, id, atMs, peer, flags, takenAtMs)
  return one.packed
}

/** When the packed entry that begins here came. */
export const timeAt = (packed: Buffer, at: number): number => packed.readDoubleLE(at + AT)

/** Shows a visitor the packed entry that begins here. */
export const visitPosting = (packed: Buffer, at: number, visitor: Visitor): boolean =>
  visitor(
    packed.readDoubleLE(at),
    packed.readDoubleLE(at + AT),
    packed.readUInt32LE(at + PEER),
    packed.readUInt8(at + FLAGS),
    packed.readDoubleLE(at + TAKEN),
  )

/** The packed entry that begins here. */
export const postingAt = (packed: Buffer, at: number): Posting => ({
  id: packed.readDoubleLE(at),
  atMs: packed.readDoubleLE(at + AT),
  takenAtMs: packed.readDoubleLE(at + TAKEN),
  peer: packed.readUInt32LE(at + PEER),
  flags: packed.readUInt8(at + FLAGS),
})

/** Writes other flags and another time into the packed entry that begins here. */
export const rewritePosting = (packed: Buffer, at: number, flags: number, takenAtMs: number): void => {
  packed.writeDoubleLE(takenAtMs, at + TAKEN)
  packed.writeUInt8(flags, at + FLAGS)
}

/** The ids of packed entries. */
export const idsIn = (packed: Buffer): number[] => {
  const ids: number[] = []
  for (let at = 0; at < packed.length; at += POSTING_BYTES) ids.push(packed.readDoubleLE(at))
  return ids
}

/** Where the entry of this id begins, -1 when it is not there. */
export const positionOf = (packed: Buffer, id: number): number => {
  for (let at = 0; at < packed.length; at += POSTING_BYTES) {
    if (packed.readDoubleLE(at) === id) return at
  }
  return -1
}
