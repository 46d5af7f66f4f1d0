import type { Element } from '#stanzas/element.ts'
import { serialize } from '#stanzas/serialize.ts'

/** What is offered is mostly the same objects on all streams of a kind (a listener's, before or after the login), of which there are no more than so many. */
const MAX_KINDS = 16
const kinds: { readonly offers: readonly Element[]; readonly text: string }[] = []

/** The children of `<stream:features/>` as they are written. */
export const textOfOffers = (offers: readonly Element[]): string => {
  for (const kind of kinds)
    if (kind.offers.length === offers.length && kind.offers.every((offer, at) => offer === offers[at])) return kind.text
  const text = offers.map((offer) => serialize(offer, '')).join('')
  kinds.unshift({ offers, text })
  if (kinds.length > MAX_KINDS) kinds.pop()
  return text
}
