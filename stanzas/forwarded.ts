import { delayWire } from './delay.ts'
import type { Address } from './jid.ts'
import { NS_CLIENT, NS_FORWARD } from './namespaces.ts'
import type { Stanza } from './stanza.ts'
import { type Wire, wire } from './wire.ts'

const HAS_NAMESPACE = /^<[a-z]+(?:\s+[^\s=]+\s*=\s*(?:'[^']*'|"[^"]*"))*?\s+xmlns\s*=/

/** XEP-0297 §4: inside the wrapper a stanza says its namespace, which on a stream it has from the header. */
const qualified = ({ kind, wire: encoded }: Pick<Stanza, 'kind' | 'wire'>): string =>
  HAS_NAMESPACE.test(encoded) ? encoded : `<${kind} xmlns='${NS_CLIENT}'${encoded.slice(1 + kind.length)}`

/** A `<forwarded/>` with the stanza in it, and with when it came and whose word that is, if that is to be told (XEP-0297 §3). */
export const forwardedWire = (
  stanza: Pick<Stanza, 'kind' | 'wire'>,
  delay?: { readonly from: Address; readonly atMs: number },
): Wire =>
  wire(
    `<forwarded xmlns='${NS_FORWARD}'>${delay === undefined ? '' : delayWire(delay.from, delay.atMs)}${qualified(stanza)}</forwarded>`,
  )
