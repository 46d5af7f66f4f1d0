/** The hash functions that RFC 5929 §4.1 can name. */
export type SignatureHash = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512'

const SEQUENCE = 0x30
const OBJECT_IDENTIFIER = 0x06

/** Object identifiers (RFC 3279, 4055, 5758), as the hex of their contents. */
const RSASSA_PSS = '2a864886f70d01010a'
const BY_OID: Readonly<Record<string, SignatureHash>> = {
  '2a864886f70d010104': 'md5',
  '2a864886f70d010105': 'sha1',
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha1',
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '608648016503040301': 'sha224',
  '608648016503040302': 'sha256',
  // The hashes themselves, as RSASSA-PSS parameters name them.
  '2b0e03021a': 'sha1',
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

type Tlv = { readonly tag: number; readonly value: Buffer; readonly rest: Buffer }

const readTlv = (der: Buffer): Tlv | undefined => {
  const tag = der[0]
  const first = der[1]
  if (tag === undefined || first === undefined) return undefined
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  if (lengthBytes > 4 || der.length < 2 + lengthBytes) return undefined
  const length = lengthBytes === 0 ? first : der.readUIntBE(2, lengthBytes)
  const start = 2 + lengthBytes
  if (der.length < start + length) return undefined
  return { tag, value: der.subarray(start, start + length), rest: der.subarray(start + length) }
}

/** The hash a certificate's signature uses (RFC 5280 §4.1.1.2); `undefined` when it has none of its own, as with Ed25519. */
export const signatureHash = (certificate: Buffer): SignatureHash | undefined => {
  const outer = readTlv(certificate)
  const body = outer?.tag === SEQUENCE ? readTlv(outer.value) : undefined
  const algorithm = body === undefined ? undefined : readTlv(body.rest)
  const oid = algorithm?.tag === SEQUENCE ? readTlv(algorithm.value) : undefined
  if (oid?.tag !== OBJECT_IDENTIFIER) return undefined
  const name = oid.value.toString('hex')
  return name === RSASSA_PSS ? pssHash(oid.rest) : BY_OID[name]
}

/** RFC 4055 §3.1: [0] holds the hash algorithm, SHA-1 when it is left out. */
const pssHash = (parameters: Buffer): SignatureHash | undefined => {
  const sequence = readTlv(parameters)
  const first = sequence === undefined ? undefined : readTlv(sequence.value)
  if (first?.tag !== 0xa0) return 'sha1'
  const algorithm = readTlv(first.value)
  const oid = algorithm === undefined ? undefined : readTlv(algorithm.value)
  return oid === undefined ? undefined : BY_OID[oid.value.toString('hex')]
}
