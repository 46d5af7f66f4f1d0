import { isIPv4, isIPv6, type Socket, SocketAddress } from 'node:net'
import type { Clock } from '#server/base/clock.ts'

/** What the first bytes of a connection say, read as HAProxy's PROXY protocol, version 1 or 2. */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed'; readonly reason: string }
  /** `address` is `undefined` where the proxy speaks for itself or does not know (LOCAL, UNKNOWN, UNSPEC, Unix sockets). */
  | { readonly kind: 'complete'; readonly address: string | undefined; readonly length: number }

const V1_PREFIX = Buffer.from('PROXY ', 'latin1')
/** §2.1: the longest line of version 1, with its CRLF. */
const V1_MAX_BYTES = 107
/** §2.2: the signature that no other protocol begins with. */
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_FIXED_BYTES = 16

const INCOMPLETE: ProxyHeader = { kind: 'incomplete' }
const malformed = (reason: string): ProxyHeader => ({ kind: 'malformed', reason })

/** Reads the header at the front of what has arrived so far. */
export const parseProxyHeader = (bytes: Buffer): ProxyHeader => {
  if (beginsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_FIXED_BYTES ? checkV2Start(bytes) : parseV2(bytes)
  if (beginsLike(bytes, V1_PREFIX)) return parseV1(bytes)
  return malformed('no PROXY header')
}

/** Whether the bytes begin with the prefix, as far as they go. */
const beginsLike = (bytes: Buffer, prefix: Buffer): boolean => {
  const length = Math.min(bytes.length, prefix.length)
  return bytes.compare(prefix, 0, length, 0, length) === 0
}

const parseV1 = (bytes: Buffer): ProxyHeader => {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf('\r\n', 0, 'latin1')
  if (end < 0) return bytes.length < V1_MAX_BYTES ? INCOMPLETE : malformed('line too long')
  const [, protocol, source = '', target = '', sourcePort = '', targetPort = '', ...more] = bytes
    .toString('latin1', 0, end)
    .split(' ')
  const length = end + 2
  // §2.1: whatever follows UNKNOWN is ignored.
  if (protocol === 'UNKNOWN') return { kind: 'complete', address: undefined, length }
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return malformed('unknown protocol')
  const isAddress = protocol === 'TCP4' ? isIPv4 : isPlainIPv6
  if (more.length > 0 || !isAddress(source) || !isAddress(target)) return malformed('bad address')
  if (!isPort(sourcePort) || !isPort(targetPort)) return malformed('bad port')
  return { kind: 'complete', address: normalAddress(source), length }
}

const isPlainIPv6 = (text: string): boolean => isIPv6(text) && !text.includes('%')

/** §2.1: decimal, without leading zeros. */
const isPort = (text: string): boolean => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535

/** What the bytes 12 to 15 say is judged as soon as it is there, so that nonsense does not wait for more. */
const checkV2Start = (bytes: Buffer): ProxyHeader => {
  const versionAndCommand = bytes[12]
  if (versionAndCommand !== undefined && versionAndCommand !== 0x20 && versionAndCommand !== 0x21)
    return malformed('unknown version or command')
  return INCOMPLETE
}

const parseV2 = (bytes: Buffer): ProxyHeader => {
  const start = checkV2Start(bytes)
  if (start.kind === 'malformed') return start
  const length = V2_FIXED_BYTES + bytes.readUInt16BE(14)
  // §2.2: of LOCAL, the proxy's own connection, everything but the length is ignored.
  const source = bytes.readUInt8(12) === LOCAL ? UNKNOWN_SOURCE : SOURCES[bytes.readUInt8(13)]
  if (source === undefined) return malformed('unknown address family')
  if (length < V2_FIXED_BYTES + source.bytes) return malformed('addresses cut short')
  if (bytes.length < length) return INCOMPLETE
  // What follows the addresses are TLVs, of which none matters here.
  return { kind: 'complete', address: source.read(bytes), length }
}

const ipv4At = (bytes: Buffer, at: number): string => bytes.subarray(at, at + 4).join('.')

const ipv6At = (bytes: Buffer, at: number): string => {
  const groups: string[] = []
  for (let offset = at; offset < at + 16; offset += 2) groups.push(bytes.readUInt16BE(offset).toString(16))
  return normalAddress(groups.join(':'))
}

type Source = { readonly bytes: number; readonly read: (bytes: Buffer) => string | undefined }

const LOCAL = 0x20
const UNKNOWN_SOURCE: Source = { bytes: 0, read: () => undefined }
const IPV4: Source = { bytes: 12, read: (bytes) => ipv4At(bytes, V2_FIXED_BYTES) }
const IPV6: Source = { bytes: 36, read: (bytes) => ipv6At(bytes, V2_FIXED_BYTES) }
const UNIX: Source = { bytes: 216, read: () => undefined }

/** §2.2: by the byte of family and protocol; what is not here is reserved and must be refused. */
const SOURCES: Readonly<Record<number, Source>> = {
  0: UNKNOWN_SOURCE,
  17: IPV4,
  18: IPV4,
  33: IPV6,
  34: IPV6,
  49: UNIX,
  50: UNIX,
}

/** One spelling for each address: RFC 5952, and IPv4 written as IPv4 even when it came through an IPv6 socket. */
export const normalAddress = (address: string): string => {
  if (!address.includes(':') || !isIPv6(address)) return address
  // What a socket says of a peer with an IPv4 address, where it takes both.
  if (address.startsWith('::ffff:') && isIPv4(address.slice(7))) return address.slice(7)
  const canonical = new SocketAddress({ address: address.replace(/%.*$/, ''), family: 'ipv6' }).address
  return canonical.startsWith('::ffff:') && isIPv4(canonical.slice(7)) ? canonical.slice(7) : canonical
}

/** How long a proxy may take to send its header, and whose time it is. */
export interface ProxyHeaderOptions {
  readonly clock: Clock
  readonly timeoutMs: number
}

/**
 * Takes the header off the front of a paused socket and leaves it paused, with what follows unread.
 * Resolves to the peer's address, or `undefined` where the connection is the proxy's own; rejects when the header is missing or malformed.
 */
export const readProxyHeader = (socket: Socket, { clock, timeoutMs }: ProxyHeaderOptions): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    const timer = clock.after(timeoutMs, () => fail(new Error('PROXY header timed out')))
    const settle = (): void => {
      timer.cancel()
      socket.off('data', onData).off('end', onEnd).off('error', fail).off('close', onEnd)
    }
    const fail = (error: Error): void => {
      settle()
      reject(error)
    }
    const onEnd = (): void => fail(new Error('closed before the PROXY header'))
    const onData = (chunk: Buffer): void => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      const header = parseProxyHeader(received)
      if (header.kind === 'malformed') fail(new Error(`PROXY header: ${header.reason}`))
      if (header.kind !== 'complete') return
      socket.pause()
      settle()
      if (header.length < received.length) socket.unshift(received.subarray(header.length))
      resolve(header.address)
    }
    socket.on('data', onData).on('end', onEnd).on('error', fail).on('close', onEnd).resume()
  })
