import { prepareDomain } from './domain.ts'
import { opaqueString, usernameCaseMapped } from './prep.ts'
import { detach, escapeAttribute, unescape, type Wire } from './wire.ts'

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

const fits = (part: string): boolean => part.length * 3 <= MAX_PART_BYTES || Buffer.byteLength(part) <= MAX_PART_BYTES

// RFC 7622 §3.3.1: these stay out of a localpart although UsernameCaseMapped allows them.
const EXCLUDED_FROM_LOCALPART = /["&'/:<>@]/

const prepareLocalpart = (text: string): string | undefined => {
  const localpart = usernameCaseMapped(text)
  return localpart === undefined || EXCLUDED_FROM_LOCALPART.test(localpart) || !fits(localpart) ? undefined : localpart
}

const prepareResourcepart = (text: string): string | undefined => {
  const resourcepart = opaqueString(text)
  return resourcepart === undefined || !fits(resourcepart) ? undefined : resourcepart
}

const withPreparedResource = (bare: Address, resourcepart: string): Address => {
  const jid = `${bare.bare}/${resourcepart}`
  const wire = escapeAttribute(jid)
  return new PreparedAddress(jid, wire, bare.localpart, bare.domainpart, resourcepart, bare)
}

/** Builds an address from parts that are yet to be prepared; `undefined` when one of them is not allowed. */
export const makeJid = (localpart: string, domainpart: string, resourcepart = ''): Address | undefined => {
  const domain = prepareDomain(domainpart)
  if (domain === undefined || !fits(domain)) return undefined
  const local = localpart === '' ? '' : prepareLocalpart(localpart)
  if (local === undefined) return undefined
  const jid = local === '' ? domain : `${local}@${domain}`
  const bare = new PreparedAddress(jid, escapeAttribute(jid), local, domain, '')
  return resourcepart === '' ? bare : withResource(bare, resourcepart)
}

/** Parses and prepares a JID (RFC 7622); `undefined` when it is none. */
export const parseJid = (text: string): Address | undefined => {
  // RFC 7622 §3.2: the first slash ends the bare JID; only then is the first at sign looked for.
  const slash = text.indexOf('/')
  const bareText = slash === -1 ? text : text.slice(0, slash)
  const at = bareText.indexOf('@')
  if (at === 0 || slash === text.length - 1) return undefined
  return makeJid(at === -1 ? '' : bareText.slice(0, at), bareText.slice(at + 1), slash === -1 ? '' : text.slice(slash + 1))
}

/** Reads an address from a raw attribute value. */
export const addressOf = (raw: Wire): Address | undefined => parseJid(unescape(detach(raw)))

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
