import { hexDigest } from '#server/base/digest.ts'
import { type Element, el } from '#stanzas/element.ts'

/** Where pictures are (XEP-0084 §4.1), and what tells of them (§4.2). */
export const NS_DATA = 'urn:xmpp:avatar:data'
export const NS_METADATA = 'urn:xmpp:avatar:metadata'

/** A picture, by what identifies it everywhere. */
export interface Image {
  /** SHA-1 of its bytes in lower-case hexadecimal digits. */
  readonly hash: string
  /** A media type. */
  readonly type: string
  readonly base64: string
  readonly size: number
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const HASH = /^[0-9a-f]{40}$/i
/** RFC 6838 §4.2 */
const IMAGE_TYPE = /^image\/[A-Za-z0-9][A-Za-z0-9.+-]{0,126}$/

/** What the first bytes of a picture are, by its type. */
const SIGNATURES: readonly (readonly [type: string, offset: number, bytes: string])[] = [
  ['image/png', 0, '89504e470d0a1a0a'],
  ['image/jpeg', 0, 'ffd8ff'],
  ['image/gif', 0, '47494638'],
  ['image/webp', 8, '57454250'],
  ['image/avif', 4, '6674797061766966'],
]

const typeOf = (bytes: Buffer): string | undefined =>
  SIGNATURES.find(([, offset, hex]) => bytes.toString('hex', offset, offset + hex.length / 2) === hex)?.[0]

/** Reads a picture; `claimed` is what it is said to be, which the bytes know better (XEP-0153 §5). `undefined` when this is none. */
export const readImage = (text: string, claimed: string | undefined): Image | undefined => {
  const base64 = text.replace(/\s+/g, '')
  if (base64 === '' || !BASE64.test(base64)) return undefined
  const bytes = Buffer.from(base64, 'base64')
  const type = typeOf(bytes) ?? claimed?.trim().toLowerCase()
  if (type === undefined || !IMAGE_TYPE.test(type)) return undefined
  return { hash: hexDigest('sha1', bytes), type, base64, size: bytes.length }
}

/** XEP-0084 §3.1: whether the payload is a picture's data, and the id its hash. */
export const isData = (payload: Element | undefined, id: string | undefined): boolean => {
  if (payload?.ns !== NS_DATA || payload.name !== 'data') return false
  const base64 = payload.text().replace(/\s+/g, '')
  return BASE64.test(base64) && hexDigest('sha1', Buffer.from(base64, 'base64')) === id?.toLowerCase()
}

/** The picture that metadata say is at the data node (XEP-0398 §3.1): its id there, its hash and its type. */
export interface Announced {
  readonly id: string
  readonly hash: string
  readonly type: string | undefined
}
export const announcedIn = (metadata: Element | undefined): Announced | undefined => {
  if (metadata?.ns !== NS_METADATA || metadata.name !== 'metadata') return undefined
  for (const { attrs } of metadata.getChildren('info'))
    if (attrs.url === undefined && attrs.id !== undefined && HASH.test(attrs.id))
      return { id: attrs.id, hash: attrs.id.toLowerCase(), type: attrs.type }
  return undefined
}

export const dataElement = ({ base64 }: Image): Element => el(NS_DATA, 'data', {}, base64)

/** XEP-0398 §3.2; without a picture, that there is none (XEP-0084 §3.5). */
export const metadataElement = (image: Image | undefined): Element => {
  const info = image && el(NS_METADATA, 'info', { bytes: String(image.size), id: image.hash, type: image.type })
  return el(NS_METADATA, 'metadata', {}, info)
}
