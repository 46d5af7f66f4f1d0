import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalAddress, parseProxyHeader } from './proxy-protocol.ts'

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

const v1 = (line: string): Buffer => Buffer.from(`PROXY ${line}\r\n`, 'latin1')

const v2 = (versionAndCommand: number, familyAndProtocol: number, contents: Buffer): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUInt8(versionAndCommand, 0)
  head.writeUInt8(familyAndProtocol, 1)
  head.writeUInt16BE(contents.length, 2)
  return Buffer.concat([SIGNATURE, head, contents])
}

const ipv4Contents = (source: readonly number[], tlvs: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from(source), Buffer.of(10, 0, 0, 1), Buffer.of(0x1f, 0x90, 0x14, 0x66), tlvs])
const ipv6Contents = (source: Uint8Array, tlvs: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([source, Buffer.alloc(16), Buffer.alloc(4), tlvs])

/** Every kind of valid header with the address it tells. */
const header = fc.oneof(
  fc.ipV4().map((address) => ({ bytes: v1(`TCP4 ${address} 10.0.0.1 5222 443`), address })),
  fc.ipV6().map((address) => ({ bytes: v1(`TCP6 ${address} ::1 0 65535`), address: normalAddress(address) })),
  fc
    .constantFrom('UNKNOWN', 'UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535')
    .map((line) => ({ bytes: v1(line), address: undefined })),
  fc
    .tuple(fc.ipV4(), fc.uint8Array({ maxLength: 200 }))
    .map(([address, tlvs]) => ({ bytes: v2(0x21, 0x11, ipv4Contents(address.split('.').map(Number), tlvs)), address })),
  fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ maxLength: 200 })).map(([source, tlvs]) => ({
    bytes: v2(0x21, 0x21, ipv6Contents(source, tlvs)),
    address: normalAddress((Buffer.from(source).toString('hex').match(/.{4}/g) ?? []).join(':')),
  })),
  fc.uint8Array({ maxLength: 300 }).map((contents) => ({ bytes: v2(0x20, 0xff, Buffer.from(contents)), address: undefined })),
  fc.uint8Array({ maxLength: 300 }).map((contents) => ({ bytes: v2(0x21, 0x00, Buffer.from(contents)), address: undefined })),
  fc
    .uint8Array({ minLength: 216, maxLength: 300 })
    .map((contents) => ({ bytes: v2(0x21, 0x31, Buffer.from(contents)), address: undefined })),
)

describe('PROXY protocol', () => {
  test('a header is complete at its last byte and not before, whatever follows', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 50 }), ({ bytes, address }, rest) => {
        for (let cut = 0; cut < bytes.length; cut++)
          expect(parseProxyHeader(bytes.subarray(0, cut))).toEqual({ kind: 'incomplete' })
        expect(parseProxyHeader(Buffer.concat([bytes, rest]))).toEqual({ kind: 'complete', address, length: bytes.length })
      }),
    )
  })

  test('noise is refused or waited for, never taken and never thrown at', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', SIGNATURE.toString('latin1')),
        fc.uint8Array({ maxLength: 200 }),
        (start, noise) => {
          const bytes = Buffer.concat([Buffer.from(start, 'latin1'), noise])
          const found = parseProxyHeader(bytes)
          if (found.kind === 'complete') expect(found.length).toBeLessThanOrEqual(bytes.length)
          if (start === '' && noise.length > 12) expect(found.kind).toBe('malformed')
        },
      ),
    )
  })

  test.each([
    ['an XMPP stream', Buffer.from("<?xml version='1.0'?>")],
    ['a TLS ClientHello', Buffer.from('16030100', 'hex')],
    ['lower case', Buffer.from('proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n')],
    ['§2.1: a line that never ends', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`)],
    ['§2.1: an unknown protocol', v1('TCP5 1.2.3.4 1.2.3.4 1 1')],
    ['an IPv6 address as TCP4', v1('TCP4 ::1 1.2.3.4 1 1')],
    ['an IPv4 address as TCP6', v1('TCP6 1.2.3.4 1.2.3.4 1 1')],
    ['an address with a zone', v1('TCP6 fe80::1%eth0 ::1 1 1')],
    ['a missing port', v1('TCP4 1.2.3.4 1.2.3.4 1')],
    ['a port above 65535', v1('TCP4 1.2.3.4 1.2.3.4 65536 1')],
    ['§2.1: a port with a leading zero', v1('TCP4 1.2.3.4 1.2.3.4 0443 1')],
    ['two spaces', v1('TCP4  1.2.3.4 1.2.3.4 1 1')],
    ['a word too many', v1('TCP4 1.2.3.4 1.2.3.4 1 1 1')],
    ['§2.2: another version', v2(0x31, 0x11, ipv4Contents([1, 2, 3, 4]))],
    ['§2.2: an unknown command', v2(0x22, 0x11, ipv4Contents([1, 2, 3, 4]))],
    ['§2.2: a reserved family', v2(0x21, 0x41, ipv4Contents([1, 2, 3, 4]))],
    ['§2.2: a reserved protocol', v2(0x21, 0x13, ipv4Contents([1, 2, 3, 4]))],
    ['§2.2: IPv4 addresses cut short', v2(0x21, 0x11, Buffer.alloc(11))],
    ['§2.2: IPv6 addresses cut short', v2(0x21, 0x21, Buffer.alloc(35))],
    ['§2.2: Unix addresses cut short', v2(0x21, 0x31, Buffer.alloc(215))],
  ])('refuses %s', (_, bytes) => {
    expect(parseProxyHeader(bytes).kind).toBe('malformed')
  })

  test('RFC 5952: an address has one spelling, and IPv4 is IPv4 through an IPv6 socket too', () => {
    expect(normalAddress('2001:DB8:0:0:0:0:0:1')).toBe('2001:db8::1')
    expect(normalAddress('::ffff:192.0.2.1')).toBe('192.0.2.1')
    expect(normalAddress('fe80::1%eth0')).toBe('fe80::1')
    expect(normalAddress('192.0.2.1')).toBe('192.0.2.1')
  })
})
