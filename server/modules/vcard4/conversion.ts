import { type Element, el } from '#stanzas/element.ts'
import { serialize } from '#stanzas/serialize.ts'
import { NS_VCARD, NS_VCARD4, PROPERTIES, type Property } from './properties.ts'

const TEMP_NAMES: ReadonlySet<string> = new Set(PROPERTIES.flatMap(({ temp }) => temp))
const FOUR_NAMES: ReadonlySet<string> = new Set(PROPERTIES.map(({ four }) => four))

const oldOf = (card: Element, { temp }: Property): readonly Element[] => temp.flatMap((name) => card.getChildren(name, NS_VCARD))

const othersIn = (card: Element, ns: string, names: ReadonlySet<string>): readonly Element[] =>
  card.getChildren().filter((child) => child.ns !== ns || !names.has(child.name))

const convertedOf = (card: Element, property: Property): readonly Element[] =>
  oldOf(card, property).flatMap((element) => property.toFour(element) ?? [])

const textOf = (elements: readonly Element[]): string => elements.map((element) => serialize(element, '')).join('')

/** The vCard4 that says what a card in the old form says; what only vCard4 can say is kept from the one before. */
export const toVcard4 = (card: Element, before: Element | undefined): Element =>
  el(
    NS_VCARD4,
    'vcard',
    before?.attrs ?? {},
    ...PROPERTIES.flatMap((property) => convertedOf(card, property)),
    ...(before === undefined ? [] : othersIn(before, NS_VCARD4, FOUR_NAMES)),
  )

/**
 * The card in the old form that says what a vCard4 says. Elements of the card that was set stay as they are where they say the same, and so does what the new
 * form has no place for.
 */
export const toVcardTemp = (vcard4: Element, card: Element): Element => {
  let differs = false
  const shown = PROPERTIES.flatMap((property) => {
    const wanted = vcard4.getChildren(property.four)
    if (textOf(wanted) === textOf(convertedOf(card, property))) return oldOf(card, property)
    differs = true
    return wanted.flatMap((element) => property.toTemp(element))
  })
  return differs ? el(card.ns, card.name, card.attrs, ...shown, ...othersIn(card, NS_VCARD, TEMP_NAMES)) : card
}

/** What is left of a card for those who may not read the vCard4. */
export const withoutShared = (card: Element): Element =>
  el(card.ns, card.name, card.attrs, ...othersIn(card, NS_VCARD, TEMP_NAMES))

export const isVcard4 = (payload: Element | undefined): payload is Element =>
  payload?.ns === NS_VCARD4 && payload.name === 'vcard'

/** Whether two elements are written alike. */
export const isAlike = (a: Element, b: Element): boolean => serialize(a, '') === serialize(b, '')
