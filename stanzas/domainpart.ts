// Pure in spite of its home: node:url is where Node keeps the IDNA conversion of its URL parser, which does no I/O.
import { domainToASCII, domainToUnicode } from 'node:url'
import { isInIdentifierClass, isRightToLeft, mapWidth, obeysBidiRule, obeysContextualRules } from './precis.ts'

/** RFC 1035 §2.3.4: 255 octets with a length before each label and the root's at the end leave 253 characters. */
const MAX_ASCII_LENGTH = 253
const MAX_LABEL_LENGTH = 63

const IPV6_LITERAL = /^\[[0-9a-fA-F:.]+\]$/
/** RFC 5890 §2.3.2.2: a label of letters, digits and inner hyphens; hyphens in places 3 and 4 are reserved. */
const NR_LDH_LABEL = /^(?!..--)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
const A_LABEL = /^xn--[a-z0-9-]*[a-z0-9]$/
const NON_ASCII = /[^\0-\x7f]/
/** The dots that RFC 5895 §2.4 and input methods take for the label separator. */
const OTHER_DOTS = /[\u3002\uff0e\uff61]/g
/** ASCII that is no part of a label, and which the URL parser would take for something else. */
const NON_LDH_ASCII = /[\0-,./:-@[-`{-\x7f]/

// A last label that is no number keeps the URL parser from reading an IPv4 address.
const convert = (label: string, by: (domain: string) => string): string => {
  const converted = by(`${label}.a`)
  return converted.endsWith('.a') ? converted.slice(0, -2) : ''
}

interface Label {
  readonly text: string
  readonly ascii: string
}

/** RFC 5891 §4.2.3: what a U-label consists of; the conversion there and back proves the rest. */
const uLabel = (text: string): Label | undefined => {
  if (text.slice(2, 4) === '--' || text.startsWith('-') || text.endsWith('-') || /^\p{M}/u.test(text)) return undefined
  if (!isInIdentifierClass(text) || !obeysContextualRules(text)) return undefined
  const ascii = convert(text, domainToASCII)
  return A_LABEL.test(ascii) && convert(ascii, domainToUnicode) === text ? { text, ascii } : undefined
}

const prepareLabel = (raw: string): Label | undefined => {
  // RFC 7622 §3.2.2: width, case and normalisation are mapped before the label is judged.
  const narrow = mapWidth(raw).normalize('NFC')
  if (NON_LDH_ASCII.test(narrow) || !isInIdentifierClass(narrow)) return undefined
  const text = narrow.toLowerCase().normalize('NFC')
  if (NON_ASCII.test(text)) return uLabel(text)
  if (!A_LABEL.test(text)) return NR_LDH_LABEL.test(text) ? { text, ascii: text } : undefined
  // RFC 7622 §3.2.1: an A-label is kept as the U-label it stands for.
  const decoded = convert(text, domainToUnicode)
  if (!NON_ASCII.test(decoded) || decoded.toLowerCase().normalize('NFC') !== decoded) return undefined
  const label = uLabel(decoded)
  return label?.ascii === text ? label : undefined
}

/** Prepares a domainpart (RFC 7622 §3.2): U-labels, lower case, no final dot, IPv6 in brackets; `undefined` when it is not allowed. */
export const prepareDomainpart = (raw: string): string | undefined => {
  if (IPV6_LITERAL.test(raw)) return domainToASCII(raw) || undefined
  const labels: Label[] = []
  for (const rawLabel of raw.replace(OTHER_DOTS, '.').replace(/\.$/, '').split('.')) {
    const label = prepareLabel(rawLabel)
    if (label === undefined || label.ascii.length > MAX_LABEL_LENGTH) return undefined
    labels.push(label)
  }
  if (labels.reduce((length, { ascii }) => length + 1 + ascii.length, -1) > MAX_ASCII_LENGTH) return undefined
  // RFC 5893 §2: one right-to-left label puts all labels under the rule.
  if (labels.some(({ text }) => isRightToLeft(text)) && !labels.every(({ text }) => obeysBidiRule(text))) return undefined
  return labels.map(({ text }) => text).join('.')
}
