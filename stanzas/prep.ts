import {
  isInFreeformClass,
  isInIdentifierClass,
  isRightToLeft,
  mapWidth,
  obeysBidiRule,
  obeysContextualRules,
  obeysStringprepBidi,
} from './precis.ts'

const PRINTABLE_ASCII = /^[\x20-\x7e]+$/
const ASCII_WITHOUT_SPACE = /^[\x21-\x7e]+$/

type Rule = (text: string) => string | undefined

/** RFC 8264 §7: applies the rules until nothing changes, and refuses what does not settle after three more times. */
const untilStable = (text: string, apply: Rule): string | undefined => {
  let current = text
  for (let round = 0; round < 4; round++) {
    const next = apply(current)
    if (next === undefined || next === current) return next
    current = next
  }
  return undefined
}

const enforceUsername: Rule = (text) => {
  // Canonical equivalents fare alike: a Bengali keyboard may send letters that NFC takes apart, and which are in no class as they stand.
  const narrow = mapWidth(text).normalize('NFC')
  // RFC 8265 §3.3.1: the class is checked before the case mapping can hide what was there.
  if (!isInIdentifierClass(narrow)) return undefined
  const mapped = narrow.toLowerCase().normalize('NFC')
  if (mapped === '' || !isInIdentifierClass(mapped) || !obeysContextualRules(mapped)) return undefined
  return isRightToLeft(mapped) && !obeysBidiRule(mapped) ? undefined : mapped
}

/** Prepares a localpart or account name by the UsernameCaseMapped profile (RFC 8265 §3.3); `undefined` when it is not allowed. */
export const usernameCaseMapped = (text: string): string | undefined =>
  ASCII_WITHOUT_SPACE.test(text) ? text.toLowerCase() : untilStable(text, enforceUsername)

const enforceOpaque: Rule = (text) => {
  if (!isInFreeformClass(text)) return undefined
  const mapped = text.replace(/\p{Zs}/gu, ' ').normalize('NFC')
  return mapped === '' || !isInFreeformClass(mapped) || !obeysContextualRules(mapped) ? undefined : mapped
}

/** Prepares a resourcepart by the OpaqueString profile (RFC 8265 §4.2); `undefined` when it is not allowed. */
export const opaqueString = (text: string): string | undefined =>
  PRINTABLE_ASCII.test(text) ? text : untilStable(text, enforceOpaque)

const enforceNickname: Rule = (text) => {
  if (!isInFreeformClass(text)) return undefined
  // RFC 8266 §2.3: spaces are mapped, trimmed and folded before the normalisation, which may bring new ones for the next round.
  const mapped = text
    .replace(/\p{Zs}+/gu, ' ')
    .replace(/^ | $/g, '')
    .normalize('NFKC')
  return mapped === '' || !isInFreeformClass(mapped) || !obeysContextualRules(mapped) ? undefined : mapped
}

/** Prepares a nickname by the Nickname profile (RFC 8266 §2.3), for showing; two are the same when they are equal in lower case. */
export const nickname = (text: string): string | undefined => untilStable(text, enforceNickname)

// RFC 3454, by table: C.1.2 is mapped to a space, B.1 to nothing (RFC 4013 §2.1).
const NON_ASCII_SPACES = /[\xa0\u1680\u2000-\u200b\u202f\u205f\u3000]/g
const MAPPED_TO_NOTHING = /\xad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/g
// RFC 4013 §2.3: C.2 to C.9.
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}\u06dd\u070f\u180e\u2028\u2029\u2061-\u2063\u206a-\u206f\ufff9-\ufffd\u{1d173}-\u{1d17a}\u2ff0-\u2ffb\u200e\u200f\u202a-\u202e\u{e0001}\u{e0020}-\u{e007f}]/u

/**
 * Prepares a password by SASLprep (RFC 4013); `undefined` when it is not allowed.
 * SCRAM needs it beside OpaqueString: RFC 5802 §2.2 names it, clients obey, and its NFKC gives other keys than NFC would ("ª", "²", "ﬁ").
 * Code points that Unicode 3.2 did not have pass, as in the queries of RFC 3454 §7, lest an emoji lock its owner out.
 */
export const saslPrep = (text: string): string | undefined => {
  if (PRINTABLE_ASCII.test(text)) return text
  const mapped = text.replace(NON_ASCII_SPACES, ' ').replace(MAPPED_TO_NOTHING, '').normalize('NFKC')
  return mapped === '' || PROHIBITED.test(mapped) || !obeysStringprepBidi(mapped) ? undefined : mapped
}
