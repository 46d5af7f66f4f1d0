import type { Token } from '#server/core/devices.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Mechanism } from '../sasl/mechanism.ts'

const NS_FAST = 'urn:xmpp:fast:0'

/** What a client asks for about tokens when it logs in (XEP-0484). */
export interface FastRequest {
  /** It has one; it counts how often it has used it, and may give it back. */
  readonly use: { readonly count: number | undefined; readonly invalidates: boolean } | undefined
  /** It wants one, for the mechanism of this name. */
  readonly wants: string | undefined
}

/** What stands for tokens among the inline features of SASL (XEP-0484 §3.1). */
export const fastOffer = (mechanisms: readonly Mechanism[]): Element =>
  el(NS_FAST, 'fast', {}, ...mechanisms.map(({ name }) => el(NS_FAST, 'mechanism', {}, name)))

/** Reads what a login says about tokens; `undefined` when it is malformed. */
export const parseFast = (authenticate: Element): FastRequest | undefined => {
  const fast = authenticate.getChild('fast', NS_FAST)
  const wants = authenticate.getChild('request-token', NS_FAST)?.attrs.mechanism
  if (fast === undefined) return { use: undefined, wants }
  const { count, invalidate } = fast.attrs
  // The schema's xs:int, and positive (§3.4).
  if (count !== undefined && (!/^\d{1,10}$/.test(count) || Number(count) > 0x7fff_ffff)) return undefined
  return {
    use: {
      count: count === undefined ? undefined : Number(count),
      invalidates: invalidate === 'true' || invalidate === '1',
    },
    wants,
  }
}

/** A token as the client is given it (XEP-0484 §3.3). */
export const tokenElement = ({ secret, expiresAtMs }: Token): Element =>
  el(NS_FAST, 'token', { token: secret, expiry: formatDateTime(expiresAtMs) })
