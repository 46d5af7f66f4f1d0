import { type Address, type Jid, parseJid } from './jid.ts'
import { NS_STANZA_ID } from './namespaces.ts'
import type { Payload, Stanza } from './stanza.ts'
import { type Wire, wire } from './wire.ts'

/** Eleven digits of five bits hold a safe integer, which has 53. */
const DIGITS = 11
const DIGIT = '0123456789abcdefghijklmnopqrstuv'
const LOW_DIGITS = 5
const LOW_RANGE = 2 ** 25

const PAIRS: readonly string[] = Array.from({ length: 1024 }, (_, n) => `${DIGIT[n >> 5]}${DIGIT[n & 31]}`)

// Ids made in one moment share their leading digits.
let lastHigh = 0
let lastHighText = '000000'

const highDigits = (high: number): string => {
  if (high === lastHigh) return lastHighText
  lastHigh = high
  lastHighText = high.toString(32).padStart(DIGITS - LOW_DIGITS, '0')
  return lastHighText
}

/** Writes a log id as text of eleven characters, whose order is that of the ids. */
export const logIdToText = (id: number): string => {
  const high = Math.floor(id / LOW_RANGE)
  const low = id - high * LOW_RANGE
  return `${highDigits(high)}${PAIRS[low >> 15]}${PAIRS[(low >> 5) & 1023]}${DIGIT[low & 31]}`
}

/** Reads what `logIdToText` writes; `undefined` for any other text. */
export const textToLogId = (text: string): number | undefined => {
  if (!/^[0-9a-v]{11}$/.test(text)) return undefined
  const id = Number.parseInt(text, 32)
  return Number.isSafeInteger(id) ? id : undefined
}

/** The `<stanza-id/>` by which that address knows the stanza (XEP-0359 §3), as wire text. */
export const stanzaIdWire = (by: Address, id: number): Wire =>
  wire(`<stanza-id xmlns='${NS_STANZA_ID}' by='${by.wire}' id='${logIdToText(id)}'/>`)

// Each stanza is read for claims once, however many of its payloads are asked about.
const claims = new WeakMap<Stanza, ReadonlyMap<Payload, Jid | undefined>>()

const claimsOf = (stanza: Stanza): ReadonlyMap<Payload, Jid | undefined> => {
  const known = claims.get(stanza)
  if (known !== undefined) return known
  const elements = stanza.elements()
  const found = new Map<Payload, Jid | undefined>()
  stanza.payloads.forEach((payload, index) => {
    if (isStanzaId(payload)) found.set(payload, parseJid(elements[index]?.attrs.by ?? '')?.jid)
  })
  claims.set(stanza, found)
  return found
}

const isStanzaId = ({ ns, name }: Payload): boolean => name === 'stanza-id' && ns === NS_STANZA_ID

/** Whether this payload claims an id by that address, which whoever assigns ids for it removes (XEP-0359 §3). */
export const isSpoofedStanzaId = (payload: Payload, stanza: Stanza, by: Address): boolean =>
  isStanzaId(payload) && claimsOf(stanza).get(payload) === by.jid
