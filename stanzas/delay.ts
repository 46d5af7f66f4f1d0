import { formatDateTime, parseDateTime } from './datetime.ts'
import { type Element, el } from './element.ts'
import { type Address, parseJid } from './jid.ts'
import { NS_DELAY } from './namespaces.ts'
import type { Payload, Stanza } from './stanza.ts'
import { type Wire, wire } from './wire.ts'

/** When a stanza was first sent, who says so and why it comes late (XEP-0203). */
export interface Delay {
  readonly atMs: number
  readonly from: Address | undefined
  readonly reason: string
}

/** Builds a `<delay/>` (XEP-0203 §2). */
export const delayElement = (from: Address | undefined, atMs: number, reason?: string): Element =>
  el(NS_DELAY, 'delay', { from: from?.jid, stamp: formatDateTime(atMs) }, reason)

/** The same as wire text, for what is delivered late in large numbers. */
export const delayWire = (from: Address, atMs: number): Wire =>
  wire(`<delay xmlns='${NS_DELAY}' from='${from.wire}' stamp='${formatDateTime(atMs)}'/>`)

/** Whether this payload says that the given address held the stanza up; only that address itself may say so (XEP-0203 §4). */
export const claimsDelayBy = (payload: Payload, stanza: Stanza, by: Address): boolean =>
  payload.ns === NS_DELAY && payload.name === 'delay' && parseJid(stanza.get(NS_DELAY, 'delay')?.attrs.from ?? '')?.jid === by.jid

/** Reads a `<delay/>` (XEP-0203 §2); `undefined` when it is none or its stamp or address is malformed. */
export const readDelay = (element: Element): Delay | undefined => {
  if (element.ns !== NS_DELAY || element.name !== 'delay') return undefined
  const { from: said, stamp = '' } = element.attrs
  const atMs = parseDateTime(stamp)
  const from = said === undefined ? undefined : parseJid(said)
  if (atMs === undefined || (said !== undefined && from === undefined)) return undefined
  return { atMs, from, reason: element.text() }
}
