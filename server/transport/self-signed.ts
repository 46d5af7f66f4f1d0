import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { isIP, isIPv4 } from 'node:net'
import { randomOctets } from '#server/base/random.ts'

/** A certificate with its key and the authority that vouches for it, in PEM. */
export interface SelfSigned {
  readonly ca: string
  readonly certificate: string
  readonly key: string
}

/** What a self-made certificate is for and how long it holds. */
export interface SelfSignedOptions {
  readonly domain: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/**
 * Makes an authority and a certificate that it signs, on curve P-256. The authority's key is dropped at once, so trusting its
 * certificate trusts this one server and nothing that could be signed later.
 */
export const makeSelfSigned = (options: SelfSignedOptions): SelfSigned => {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const authorityName = commonName(`Waxwing authority ${randomOctets(4).toString('hex')}`)
  const authorityId = keyIdentifier(authority.publicKey)
  const ca = certificate({
    ...options,
    issuer: authorityName,
    subject: authorityName,
    subjectKey: authority.publicKey,
    issuerKey: authority.privateKey,
    extensions: [
      extension(OID.basicConstraints, true, sequence(TRUE, integer(Buffer.of(0)))),
      extension(OID.keyUsage, true, bitString(Buffer.of(KEY_CERT_SIGN | CRL_SIGN), 1)),
      extension(OID.subjectKeyIdentifier, false, octetString(authorityId)),
      // RFC 5280 §4.2.1.1: verifiers that are strict want it on every certificate.
      extension(OID.authorityKeyIdentifier, false, sequence(tlv(0x80, authorityId))),
    ],
  })
  const own = certificate({
    ...options,
    issuer: authorityName,
    // RFC 5280, appendix A.1: a common name has 64 characters at most; the name that counts is the alternative one.
    subject: commonName(options.domain.length > 64 ? 'Waxwing' : options.domain),
    subjectKey: leaf.publicKey,
    issuerKey: authority.privateKey,
    extensions: [
      extension(OID.basicConstraints, true, sequence()),
      extension(OID.keyUsage, true, bitString(Buffer.of(DIGITAL_SIGNATURE), 7)),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))),
      extension(OID.subjectAlternativeName, false, sequence(...alternativeNames(options.domain))),
      extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(leaf.publicKey))),
      extension(OID.authorityKeyIdentifier, false, sequence(tlv(0x80, authorityId))),
    ],
  })
  return { ca, certificate: own, key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** RFC 6120 §13.7.1.2.1: the domain as a DNS-ID; and the loopback addresses, for programs on this machine. */
const alternativeNames = (domain: string): Buffer[] => {
  const addresses = new Set(['127.0.0.1', '::1', ...(isIP(domain) ? [domain] : [])])
  const names = isIP(domain) ? [] : [tlv(0x82, Buffer.from(domain, 'latin1'))]
  return [...names, ...[...addresses].map((address) => tlv(0x87, addressOctets(address)))]
}

const addressOctets = (address: string): Buffer => {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const after = groups(tail ?? '')
  const before = groups(head)
  const middle = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return Buffer.from([...before, ...middle, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex')
}

interface Contents extends SelfSignedOptions {
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly subjectKey: KeyObject
  readonly issuerKey: KeyObject
  readonly extensions: readonly Buffer[]
}

/** RFC 5280 §4.1, with a random positive serial number (§4.1.2.2). */
const certificate = ({ issuer, subject, subjectKey, issuerKey, notBeforeMs, notAfterMs, extensions }: Contents): string => {
  const serial = randomOctets(16)
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0)
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const body = sequence(
    tlv(0xa0, integer(Buffer.of(2))),
    integer(serial),
    algorithm,
    issuer,
    sequence(time(notBeforeMs), time(notAfterMs)),
    subject,
    subjectKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  )
  const der = sequence(body, algorithm, bitString(sign('sha256', body, issuerKey), 0))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** RFC 5280 §4.2.1.2 (1): the hash of the public key's bits. */
const keyIdentifier = (key: KeyObject): Buffer => {
  const point = key.export({ format: 'jwk' })
  const bits = [Buffer.of(4), Buffer.from(point.x ?? '', 'base64url'), Buffer.from(point.y ?? '', 'base64url')]
  return createHash('sha1').update(Buffer.concat(bits)).digest()
}

/** Object identifiers, as the hex of their contents. */
const OID = {
  ecdsaWithSha256: '2a8648ce3d040302',
  commonName: '550403',
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  subjectAlternativeName: '551d11',
  basicConstraints: '551d13',
  authorityKeyIdentifier: '551d23',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
} as const

const DIGITAL_SIGNATURE = 0x80
const KEY_CERT_SIGN = 0x04
const CRL_SIGN = 0x02

/** One DER element (X.690 §8.1): tag, length, contents. */
const tlv = (tag: number, ...contents: readonly Buffer[]): Buffer => {
  const value = Buffer.concat(contents)
  if (value.length < 0x80) return Buffer.concat([Buffer.of(tag, value.length), value])
  if (value.length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, value.length), value])
  return Buffer.concat([Buffer.of(tag, 0x82, value.length >> 8, value.length & 0xff), value])
}
const sequence = (...contents: readonly Buffer[]): Buffer => tlv(0x30, ...contents)
const integer = (bytes: Buffer): Buffer => tlv(0x02, bytes)
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'))
const octetString = (bytes: Buffer): Buffer => tlv(0x04, bytes)
const bitString = (bytes: Buffer, unusedBits: number): Buffer => tlv(0x03, Buffer.of(unusedBits), bytes)
const TRUE = tlv(0x01, Buffer.of(0xff))

const extension = (id: string, isCritical: boolean, value: Buffer): Buffer =>
  isCritical ? sequence(oid(id), TRUE, octetString(value)) : sequence(oid(id), octetString(value))

const commonName = (text: string): Buffer =>
  sequence(tlv(0x31, sequence(oid(OID.commonName), tlv(0x0c, Buffer.from(text, 'utf8')))))

/** RFC 5280 §4.1.2.5: two digits of the year until 2049, four from 2050 on. */
const time = (ms: number): Buffer => {
  const digits = `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  return digits < '2050' ? tlv(0x17, Buffer.from(digits.slice(2), 'latin1')) : tlv(0x18, Buffer.from(digits, 'latin1'))
}
