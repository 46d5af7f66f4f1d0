import { type Element, el } from '#stanzas/element.ts'

export const NS_VCARD = 'vcard-temp'
export const NS_VCARD4 = 'urn:ietf:params:xml:ns:vcard-4.0'

/** How one property stands in either form of a card (XEP-0292 §11). */
export interface Property {
  /** Its elements in vcard-temp; the first is what it is called when it comes from vCard4. */
  readonly temp: readonly string[]
  readonly four: string
  /** `undefined` when the element says nothing. */
  toFour(element: Element): Element | undefined
  toTemp(element: Element): readonly Element[]
}

const temp = (name: string, ...children: readonly (Element | string)[]): Element => el(NS_VCARD, name, {}, ...children)
const four = (name: string, ...children: readonly (Element | string | undefined)[]): Element =>
  el(NS_VCARD4, name, {}, ...children)

/** RFC 6351 §5: the types that a value may be of. */
const VALUES: readonly string[] = ['text', 'uri', 'date', 'date-time', 'date-and-or-time', 'timestamp', 'utc-offset', 'unknown']

/** What the property is; of an address in a scheme, without that. */
const valuesOf = (element: Element, scheme = ''): readonly string[] =>
  element.getChildren().flatMap((child) => {
    const text = child.ns === NS_VCARD4 && VALUES.includes(child.name) ? child.text().trim() : ''
    const value = text.startsWith(scheme) ? text.slice(scheme.length) : text
    return value === '' ? [] : [value]
  })

const textIn = (element: Element, name?: string): string =>
  (name === undefined ? element.text() : (element.getChildText(name) ?? '')).trim()

const withScheme = (scheme: string, value: string): string => (value.startsWith(scheme) ? value : scheme + value)

const simple = (names: readonly string[], name: string, value: 'text' | 'uri' | 'date', scheme = ''): Property => ({
  temp: names,
  four: name,
  toFour(element) {
    const text = textIn(element)
    return text === '' ? undefined : four(name, four(value, withScheme(scheme, text)))
  },
  toTemp: (element) => valuesOf(element, scheme).map((text) => temp(names[0] ?? '', text)),
})

type Parts = Readonly<Record<string, string>>

const partsToFour = (element: Element, parts: Parts): readonly Element[] =>
  Object.entries(parts).flatMap(([old, name]) => {
    const text = textIn(element, old)
    return text === '' ? [] : [four(name, text)]
  })

const partsToTemp = (element: Element, parts: Parts): readonly Element[] =>
  Object.entries(parts).flatMap(([old, name]) => {
    const text = textIn(element, name)
    return text === '' ? [] : [temp(old, text)]
  })

/** Kinds of an address that both forms know (§11.3); others are left out. */
const parametersOf = (element: Element, kinds: readonly string[]): Element | undefined => {
  const types = kinds.filter((kind) => element.getChild(kind.toUpperCase()) !== undefined).map((kind) => four('text', kind))
  const pref = element.getChild('PREF') && four('pref', four('integer', '1'))
  if (types.length === 0 && pref === undefined) return undefined
  return four('parameters', types.length === 0 ? undefined : four('type', ...types), pref)
}

const flagsOf = (element: Element, kinds: readonly string[]): readonly Element[] => {
  const parameters = element.getChild('parameters')
  const types =
    parameters?.getChildren('type').flatMap((type) => type.getChildren('text').map((text) => text.text().trim().toLowerCase())) ??
    []
  const flags = kinds.filter((kind) => types.includes(kind)).map((kind) => temp(kind.toUpperCase()))
  return parameters?.getChild('pref') === undefined ? flags : [...flags, temp('PREF')]
}

const NAME: Parts = { FAMILY: 'surname', GIVEN: 'given', MIDDLE: 'additional', PREFIX: 'prefix', SUFFIX: 'suffix' }
const ADDRESS: Parts = {
  POBOX: 'pobox',
  EXTADD: 'ext',
  STREET: 'street',
  LOCALITY: 'locality',
  REGION: 'region',
  PCODE: 'code',
  CTRY: 'country',
}
const PLACES = ['home', 'work'] as const
const TELEPHONES = [...PLACES, 'text', 'voice', 'fax', 'cell', 'video', 'pager'] as const

/** Something that has kinds and one value. */
const reached = (
  old: string,
  name: string,
  inner: string,
  value: 'text' | 'uri',
  kinds: readonly string[],
  scheme = '',
): Property => ({
  temp: [old],
  four: name,
  toFour(element) {
    const text = textIn(element, inner)
    return text === '' ? undefined : four(name, parametersOf(element, kinds), four(value, withScheme(scheme, text)))
  },
  toTemp: (element) => valuesOf(element, scheme).map((text) => temp(old, ...flagsOf(element, kinds), temp(inner, text))),
})

/** XEP-0292 §11; pictures are the business of XEP-0398. */
export const PROPERTIES: readonly Property[] = [
  simple(['FN'], 'fn', 'text'),
  {
    temp: ['N'],
    four: 'n',
    toFour(element) {
      const parts = partsToFour(element, NAME)
      return parts.length === 0 ? undefined : four('n', ...parts)
    },
    toTemp(element) {
      const parts = partsToTemp(element, NAME)
      return parts.length === 0 ? [] : [temp('N', ...parts)]
    },
  },
  simple(['NICKNAME'], 'nickname', 'text'),
  simple(['BDAY'], 'bday', 'date'),
  {
    temp: ['ADR'],
    four: 'adr',
    toFour(element) {
      const parts = partsToFour(element, ADDRESS)
      return parts.length === 0 ? undefined : four('adr', parametersOf(element, PLACES), ...parts)
    },
    toTemp(element) {
      const parts = partsToTemp(element, ADDRESS)
      return parts.length === 0 ? [] : [temp('ADR', ...flagsOf(element, PLACES), ...parts)]
    },
  },
  reached('TEL', 'tel', 'NUMBER', 'uri', TELEPHONES, 'tel:'),
  reached('EMAIL', 'email', 'USERID', 'text', PLACES),
  simple(['JABBERID'], 'impp', 'uri', 'xmpp:'),
  simple(['TZ'], 'tz', 'text'),
  {
    temp: ['GEO'],
    four: 'geo',
    toFour(element) {
      const [latitude, longitude] = [textIn(element, 'LAT'), textIn(element, 'LON')]
      return latitude === '' || longitude === '' ? undefined : four('geo', four('uri', `geo:${latitude},${longitude}`))
    },
    toTemp: (element) =>
      valuesOf(element).flatMap((uri) => {
        const [, latitude, longitude] = /^geo:([^,;]+),([^,;]+)/.exec(uri) ?? []
        return latitude === undefined || longitude === undefined
          ? []
          : [temp('GEO', temp('LAT', latitude), temp('LON', longitude))]
      }),
  },
  simple(['TITLE'], 'title', 'text'),
  simple(['ROLE'], 'role', 'text'),
  {
    temp: ['ORG'],
    four: 'org',
    // RFC 6350 §6.6.4: units stand behind the name.
    toFour(element) {
      const texts = ['ORGNAME', 'ORGUNIT'].flatMap((name) => element.getChildren(name).map((child) => child.text().trim()))
      return texts.every((text) => text === '') ? undefined : four('org', ...texts.map((text) => four('text', text)))
    },
    toTemp(element) {
      const [name, ...units] = valuesOf(element)
      return name === undefined ? [] : [temp('ORG', temp('ORGNAME', name), ...units.map((unit) => temp('ORGUNIT', unit)))]
    },
  },
  simple(['URL'], 'url', 'uri'),
  // §11.1.1
  simple(['DESC', 'NOTE'], 'note', 'text'),
]
