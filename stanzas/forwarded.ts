import { delayWire } from './delay.ts'
import type { Address } from './jid.ts'
import { NS_FORWARD } from './namespaces.ts'
import type { Stanza } from './stanza.ts'
import { type Wire, wire } from './wire.ts'

/** A `<forwarded/>` with the stanza in it as jabber:client, and when it came by whose word, if that is to be told (XEP-0297 §3). */
export const forwardedWire = (stanza: Stanza, delay?: { readonly from: Address; readonly atMs: number }): Wire => {
  const late = delay === undefined ? '' : delayWire(delay.from, delay.atMs)
  return wire(`<forwarded xmlns='${NS_FORWARD}'>${late}${stanza.selfContained}</forwarded>`)
}
