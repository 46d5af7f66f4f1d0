import { skip, TAG } from './xml-names.ts'

/*
 * Payloads begin with the same few tags over and over: `<body>`, `<request xmlns='urn:xmpp:receipts'/>`. A tag that was read once, says nothing but its
 * name and perhaps its default namespace, and is short, is kept as bytes with what it said; the same bytes then say the same again. A newcomer takes the
 * place of whoever was in its slot, so that a peer that makes tags up can only make itself slower.
 */

const SLOTS = 1024
const WIDTH = 64
const GREATER_THAN = 0x3e
const keys = new Uint8Array(SLOTS * WIDTH)
const lengths = new Uint8Array(SLOTS)
const nameLengths = new Uint8Array(SLOTS)
const isEmpty = new Uint8Array(SLOTS)
const names = new Array<string>(SLOTS).fill('')
/** `undefined` when the tag declares no namespace. */
const namespaces = new Array<string | undefined>(SLOTS).fill(undefined)

const slotOf = (bytes: Buffer, start: number, length: number): number =>
  (length * 29 +
    (bytes[start + 1] as number) * 7 +
    (bytes[start + (length >> 1)] as number) * 61 +
    (bytes[start + length - 5] as number) * 389 +
    (bytes[start + length - 3] as number) * 149 +
    (bytes[start + length - 2] as number) * 23) &
  (SLOTS - 1)

/** Where the tag at `start` ends if it is one of the short ones; -1 otherwise. */
const endOf = (bytes: Buffer, start: number, end: number): number => {
  const last = Math.min(end, start + WIDTH)
  const p = skip(bytes, start + 1, last, TAG)
  return p < last && p >= start + 4 && bytes[p] === GREATER_THAN ? p + 1 : -1
}

const isKey = (key: number, bytes: Buffer, start: number, length: number): boolean => {
  let k = 1
  for (; k < length - 3; k += 4) {
    const a = (keys[key + k] as number) ^ (bytes[start + k] as number)
    const b = (keys[key + k + 1] as number) ^ (bytes[start + k + 1] as number)
    const c = (keys[key + k + 2] as number) ^ (bytes[start + k + 2] as number)
    const d = (keys[key + k + 3] as number) ^ (bytes[start + k + 3] as number)
    if ((a | b | c | d) !== 0) return false
  }
  for (; k < length; k++) if (keys[key + k] !== bytes[start + k]) return false
  return true
}

/** What is known of the tag that stands at `start`; -1 when it is unknown or not whole. */
export const recallTag = (bytes: Buffer, start: number, end: number): number => {
  const after = endOf(bytes, start, end)
  if (after === -1) return -1
  const length = after - start
  const slot = slotOf(bytes, start, length)
  if (lengths[slot] !== length) return -1
  return isKey(slot * WIDTH, bytes, start, length) ? slot : -1
}

/** Keeps what was read of a tag. */
export const keepTag = (
  bytes: Buffer,
  start: number,
  end: number,
  nameLength: number,
  name: string,
  ns: string | undefined,
  empty: boolean,
): void => {
  // A tag that ends elsewhere than at its first `>` would not be found again.
  if (endOf(bytes, start, end) !== end) return
  const slot = slotOf(bytes, start, end - start)
  keys.set(bytes.subarray(start, end), slot * WIDTH)
  lengths[slot] = end - start
  nameLengths[slot] = nameLength
  names[slot] = name
  namespaces[slot] = ns
  isEmpty[slot] = empty ? 1 : 0
}

/** How many bytes a known tag has. */
export const knownLength = (slot: number): number => lengths[slot] as number
/** How many bytes its name has. */
export const knownNameLength = (slot: number): number => nameLengths[slot] as number
/** Its name. */
export const knownName = (slot: number): string => names[slot] as string
/** The default namespace it declares; `undefined` when it declares none. */
export const knownNs = (slot: number): string | undefined => namespaces[slot]
/** Whether it is an empty-element tag. */
export const knownIsEmpty = (slot: number): boolean => isEmpty[slot] === 1
