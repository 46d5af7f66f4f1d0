import { prepareDomainpart } from './domainpart.ts'
import { opaqueString, usernameCaseMapped } from './prep.ts'
import { Recent } from './recent.ts'
import { attributeText, detach, escapeAttribute, type Wire } from './wire.ts'

declare const bareBrand: unique symbol
declare const fullBrand: unique symbol

/** A prepared `local@domain` or `domain` (RFC 7622), as ordinary text. */
export type BareJid = string & { readonly [bareBrand]: true }
/** A prepared JID with a resourcepart, as ordinary text. */
export type FullJid = string & { readonly [fullBrand]: true }
export type Jid = BareJid | FullJid

/** A prepared JID with its parts, and the wire text of an attribute that holds it. */
export interface Address {
  readonly jid: Jid
  readonly bare: BareJid
  /** `''` when there is none. */
  readonly localpart: string
  readonly domainpart: string
  /** `''` when there is none. */
  readonly resourcepart: string
  /** The whole JID, escaped for an attribute. */
  readonly wire: Wire
  /** The bare JID, escaped for an attribute. */
  readonly bareWire: Wire
  /** The address without its resourcepart; the address itself when it has none. */
  readonly bareAddress: Address
}

/** RFC 7622 §3.2–3.4: no part is longer, in bytes of UTF-8. */
const MAX_PART_BYTES = 1023

class PreparedAddress implements Address {
  readonly jid: Jid
  readonly bare: BareJid
  readonly localpart: string
  readonly domainpart: string
  readonly resourcepart: string
  readonly wire: Wire
  readonly bareWire: Wire
  readonly bareAddress: Address

  constructor(jid: string, wire: Wire, localpart: string, domainpart: string, resourcepart: string, bareAddress?: Address) {
    this.jid = jid as Jid
    this.wire = wire
    this.localpart = localpart
    this.domainpart = domainpart
    this.resourcepart = resourcepart
    this.bareAddress = bareAddress ?? this
    this.bare = bareAddress === undefined ? (jid as BareJid) : bareAddress.bare
    this.bareWire = bareAddress === undefined ? wire : bareAddress.bareWire
  }
}

const hasAtMost = (part: string, bytes: number): boolean => part.length * 3 <= bytes || Buffer.byteLength(part) <= bytes

const fits = (part: string): boolean => hasAtMost(part, MAX_PART_BYTES)

/**
 * Composing and narrowing leave at least a third of a part's bytes (UAX #15 §9), so what is longer cannot fit. Nobody spends time on it:
 * sorting a long run of combining marks takes the square of its length.
 */
const mayFit = (part: string): boolean => hasAtMost(part, 3 * MAX_PART_BYTES)

// RFC 7622 §3.3.1: these stay out of a localpart although UsernameCaseMapped allows them.
const EXCLUDED_FROM_LOCALPART = /["&'/:<>@]/

const prepareLocalpart = (text: string): string | undefined => {
  const localpart = mayFit(text) ? usernameCaseMapped(text) : undefined
  return localpart === undefined || EXCLUDED_FROM_LOCALPART.test(localpart) || !fits(localpart) ? undefined : localpart
}

const prepareResourcepart = (text: string): string | undefined => {
  const resourcepart = mayFit(text) ? opaqueString(text) : undefined
  return resourcepart === undefined || !fits(resourcepart) ? undefined : resourcepart
}

const withPreparedResource = (bare: Address, resourcepart: string): Address => {
  const jid = `${bare.bare}/${resourcepart}`
  const wire = escapeAttribute(jid)
  return new PreparedAddress(jid, wire, bare.localpart, bare.domainpart, resourcepart, bare)
}

/** Builds an address from parts that are yet to be prepared; `undefined` when one of them is not allowed. */
export const makeJid = (localpart: string, domainpart: string, resourcepart = ''): Address | undefined => {
  const domain = mayFit(domainpart) ? prepareDomainpart(domainpart) : undefined
  if (domain === undefined || !fits(domain)) return undefined
  const local = localpart === '' ? '' : prepareLocalpart(localpart)
  if (local === undefined) return undefined
  const jid = local === '' ? domain : `${local}@${domain}`
  const bare = new PreparedAddress(jid, escapeAttribute(jid), local, domain, '')
  return resourcepart === '' ? bare : withResource(bare, resourcepart)
}

/** The parts as they are told apart before preparation (RFC 7622 §3.1); `undefined` when one is empty that must not be. */
const split = (text: string): readonly [localpart: string, domainpart: string, resourcepart: string] | undefined => {
  // RFC 7622 §3.2: the first slash ends the bare JID; only then is the first at sign looked for.
  const slash = text.indexOf('/')
  const bare = slash === -1 ? text : text.slice(0, slash)
  const at = bare.indexOf('@')
  if (at === 0 || (slash !== -1 && slash === text.length - 1)) return undefined
  return [at === -1 ? '' : bare.slice(0, at), bare.slice(at + 1), slash === -1 ? '' : text.slice(slash + 1)]
}

/**
 * JIDs that preparation leaves as they are and that an attribute holds without escaping: lower-case ASCII without reserved labels.
 * Only what it matches is spared the tables; what it does not match may still be a JID.
 */
const PLAIN_JID =
  /^(?:[a-z0-9!#$%()*+,\-.;=?[\\\]^_`{|}~]{1,1023}@)?(?=[^/]{1,253}(?:\/|$))(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\/[ !#-%(-;=?-~]{1,1023})?$/

/** What is longer cannot shrink to fit: no part is over a quarter of its composed length (UAX #15 §9), so nobody spends time on it. */
const MAX_JID_LENGTH = 4 * (3 * MAX_PART_BYTES + 2)

/** Parses and prepares a JID (RFC 7622); `undefined` when it is none. */
export const parseJid = (text: string): Address | undefined => {
  if (text.length > MAX_JID_LENGTH) return undefined
  if (PLAIN_JID.test(text)) return plainAddress(detach(text as Wire), (bare) => plainAddress(bare))
  const parts = split(text)
  return parts === undefined ? undefined : makeJid(...parts)
}

/** Builds the address of a plain JID, whose ordinary text and wire text are the same string. */
const plainAddress = (text: Wire, bareAddressOf?: (bare: Wire) => Address | undefined): Address => {
  const [localpart, domainpart, resourcepart] = split(text) ?? ['', text, '']
  if (resourcepart === '') return new PreparedAddress(text, text, localpart, domainpart, '')
  const bare = text.slice(0, -1 - resourcepart.length) as Wire
  return new PreparedAddress(text, text, localpart, domainpart, resourcepart, bareAddressOf?.(bare) ?? plainAddress(bare))
}

// Sixteen thousand correspondents in a few megabytes; long keys are rarer and make the generation turn sooner.
const prepared = new Recent<Address>({ maxEntries: 16_384, maxKeyLength: 2_097_152 })
// Refusals are apart, so that a peer that sends nonsense does not push out what is asked for all the time.
const refused = new Recent<object>({ maxEntries: 256, maxKeyLength: 262_144 })
const REFUSED: object = {}

const prepareAddress = (raw: Wire): Address | undefined => {
  if (raw.length > MAX_JID_LENGTH * 6 || refused.get(raw) !== undefined) return undefined
  const key = detach(raw)
  // All resources of an account share one bare address.
  const address = PLAIN_JID.test(key) ? plainAddress(key, addressOf) : parseJid(attributeText(key))
  if (address === undefined) refused.set(key, REFUSED)
  else prepared.set(key, address)
  return address
}

/** Reads an address from a raw attribute value, from memory when it was read lately; `undefined` when it is no JID. */
export const addressOf = (raw: Wire): Address | undefined => prepared.get(raw) ?? prepareAddress(raw)

/** Cuts the resourcepart off. */
export const bareOf = (jid: Jid): BareJid => {
  const slash = jid.indexOf('/')
  return (slash === -1 ? jid : jid.slice(0, slash)) as BareJid
}

/** Whether the JID has a resourcepart. */
export const isFull = (jid: Jid): jid is FullJid => jid.includes('/')

/** The address with this resourcepart, once prepared, in place of any it has; `undefined` when it is not allowed. */
export const withResource = (bare: Address, resource: string): Address | undefined => {
  const resourcepart = prepareResourcepart(resource)
  return resourcepart === undefined ? undefined : withPreparedResource(bare.bareAddress, resourcepart)
}
