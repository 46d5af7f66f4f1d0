import { X509Certificate } from 'node:crypto'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '#server/base/clock.ts'
import { recordingLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { Inbox, listening, recorder, temporaryFolder } from '#server/testing/listening.ts'
import { wire } from '#stanzas/wire.ts'
import { type CertificateOptions, Certificates } from './certificates.ts'
import { makeSelfSigned, type SelfSigned } from './self-signed.ts'

const DAY_MS = 86_400_000
const START_MS = new FakeClock().nowMs()

const opened = (options: Partial<CertificateOptions> = {}) => {
  const { log, entries } = recordingLog()
  const certificates = new Certificates({
    domain: 'verona.example',
    data: temporaryFolder(),
    files: undefined,
    minVersion: 'TLSv1.2',
    curves: [],
    clock: new FakeClock(),
    log,
    ...options,
  })
  onTestFinished(() => certificates.stop())
  return { certificates, entries, events: () => entries.map(({ event }) => event) }
}

const madeFor = (domain: string, days = 400, nowMs = START_MS): SelfSigned =>
  makeSelfSigned({ domain, notBeforeMs: nowMs - DAY_MS, notAfterMs: nowMs + days * DAY_MS })

/** An operator's two files. */
const operatorFiles = (pair: SelfSigned) => {
  const folder = temporaryFolder()
  const files = { certificate: join(folder, 'fullchain.pem'), key: join(folder, 'privkey.pem') }
  const put = (next: { readonly certificate: string; readonly key: string }): void => {
    writeFileSync(files.certificate, next.certificate)
    writeFileSync(files.key, next.key)
  }
  put(pair)
  return { files, put }
}

describe('a certificate of our own making', () => {
  test('names the domain and the loopback addresses, and is signed by the authority beside it', () => {
    const data = temporaryFolder()
    const { certificates, entries } = opened({ data })
    const certificate = new X509Certificate(readFileSync(join(data, 'tls/cert.pem')))
    const ca = new X509Certificate(readFileSync(certificates.caPath ?? ''))
    expect(certificates.caPath).toBe(join(data, 'tls/ca.pem'))
    expect(ca.ca).toBe(true)
    expect(certificate.ca).toBe(false)
    expect(certificate.checkIssued(ca) && certificate.verify(ca.publicKey) && ca.verify(ca.publicKey)).toBe(true)
    expect(certificate.checkHost('verona.example')).toBe('verona.example')
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(certificate.subjectAltName).toContain('IP Address:0:0:0:0:0:0:0:1')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(entries).toEqual([
      { level: 'info', event: 'certificate-made', fields: { domain: 'verona.example', ca: certificates.caPath } },
    ])
  })

  test.each(['cert.pem', 'key.pem', 'ca.pem'])('%s is readable by its owner only', (name) => {
    const data = temporaryFolder()
    opened({ data })
    expect(statSync(join(data, 'tls', name)).mode & 0o777).toBe(0o600)
    expect(statSync(join(data, 'tls')).mode & 0o777).toBe(0o700)
  })

  test('is used again by the next start', () => {
    const data = temporaryFolder()
    opened({ data })
    const before = readFileSync(join(data, 'tls/cert.pem'), 'utf8')
    opened({ data })
    expect(readFileSync(join(data, 'tls/cert.pem'), 'utf8')).toBe(before)
  })

  test.each<[string, (data: string) => void]>([
    ['the key is gone', (data) => rmSync(join(data, 'tls/key.pem'))],
    ['the key is another', (data) => writeFileSync(join(data, 'tls/key.pem'), madeFor('verona.example').key)],
    ['the authority is another', (data) => writeFileSync(join(data, 'tls/ca.pem'), madeFor('verona.example').ca)],
    ['the certificate is no certificate', (data) => writeFileSync(join(data, 'tls/cert.pem'), 'no certificate')],
  ])('is made anew where %s', (_, spoil) => {
    const data = temporaryFolder()
    opened({ data })
    const before = readFileSync(join(data, 'tls/cert.pem'), 'utf8')
    spoil(data)
    expect(opened({ data }).events()).toEqual(['certificate-made'])
    expect(readFileSync(join(data, 'tls/cert.pem'), 'utf8')).not.toBe(before)
  })

  test('is made anew for another domain', () => {
    const data = temporaryFolder()
    opened({ data })
    expect(opened({ data, domain: 'mantua.example' }).events()).toEqual(['certificate-made'])
  })

  test('is made anew a month before its end, while the server runs', () => {
    const clock = new FakeClock()
    const { events } = opened({ clock })
    clock.jump(794 * DAY_MS)
    clock.advance('1m')
    expect(events()).toEqual(['certificate-made'])
    clock.jump(2 * DAY_MS)
    clock.advance('1m')
    expect(events()).toEqual(['certificate-made', 'certificate-made', 'certificate-reloaded'])
  })

  test.each(['127.0.0.1', '2001:db8::1', 'bücher.example', `${'a'.repeat(63)}.example`])('can be made for %s', (domain) => {
    expect(opened({ domain }).events()).toEqual(['certificate-made'])
  })
})

describe("an operator's certificate", () => {
  test('is refused at the start when the files do not fit each other or are not there', () => {
    const { files } = operatorFiles({ ...madeFor('verona.example'), key: madeFor('verona.example').key })
    expect(() => opened({ files })).toThrow(/key values mismatch/)
    expect(() => opened({ files: { certificate: '/nowhere/cert.pem', key: '/nowhere/key.pem' } })).toThrow(/ENOENT/)
  })

  test('that names another domain or is past its end is used, and said aloud', () => {
    expect(opened({ files: operatorFiles(madeFor('mantua.example')).files }).events()).toEqual(['certificate-names-other-domain'])
    expect(opened({ files: operatorFiles(madeFor('verona.example', -0.5)).files }).events()).toEqual(['certificate-expired'])
  })

  test('is read again when its files change', () => {
    const clock = new FakeClock()
    const { files, put } = operatorFiles(madeFor('verona.example'))
    const { certificates, events } = opened({ clock, files })
    const before = certificates.secureContext()
    clock.advance('1m')
    expect(certificates.secureContext()).toBe(before)
    put(madeFor('verona.example'))
    clock.advance('1m')
    expect(certificates.secureContext()).not.toBe(before)
    expect(events()).toEqual(['certificate-reloaded'])
  })

  test.each<[string, () => { certificate: string; key: string }]>([
    [
      'the key belongs to another certificate',
      () => ({ certificate: madeFor('verona.example').certificate, key: madeFor('verona.example').key }),
    ],
    ['they are empty', () => ({ certificate: '', key: '' })],
    ['the new certificate is past its end', () => madeFor('verona.example', -0.5)],
  ])('stays in use when new files are bad: %s', (_, bad) => {
    const clock = new FakeClock()
    const { files, put } = operatorFiles(madeFor('verona.example'))
    const { certificates, entries } = opened({ clock, files })
    const before = certificates.secureContext()
    put(bad())
    expect(certificates.reload()).toBe(false)
    expect(certificates.secureContext()).toBe(before)
    expect(entries).toEqual([expect.objectContaining({ level: 'error', event: 'certificate-not-reloaded' })])
    clock.advance('5m')
    expect(entries).toHaveLength(1)
    put(madeFor('verona.example'))
    expect(certificates.reload()).toBe(true)
  })

  test('whose file goes missing stays in use', () => {
    const clock = new FakeClock()
    const { files } = operatorFiles(madeFor('verona.example'))
    const { events } = opened({ clock, files })
    rmSync(files.key)
    clock.advance('1m')
    expect(events()).toEqual(['certificate-not-reloaded'])
  })

  test('RFC 9325 §3.4: the keys of session tickets change every day', () => {
    const clock = new FakeClock()
    const { certificates } = opened({ clock, files: operatorFiles(madeFor('verona.example')).files })
    const before = certificates.secureContext()
    clock.advance('24h')
    expect(certificates.secureContext()).not.toBe(before)
  })

  test('that is replaced is shown to new connections, and the old connections go on', async () => {
    // The client at the other end goes by the real time.
    const first = madeFor('localhost', 1, systemClock.nowMs())
    const second = madeFor('localhost', 1, systemClock.nowMs())
    const { files, put } = operatorFiles(first)
    const { certificates } = opened({ domain: 'localhost', files })
    const server = recorder(({ connection }, chunk) => connection.write(wire(chunk.toString('latin1'))))
    const { port } = await listening([{ security: 'direct', service: { kind: 'xmpp', accept: server.accept } }], { certificates })
    const before = await secured(port, first.ca)
    put(second)
    certificates.reload()
    const after = await secured(port, second.ca)
    expect(before.peer.fingerprint256).toBe(new X509Certificate(first.certificate).fingerprint256)
    expect(after.peer.fingerprint256).toBe(new X509Certificate(second.certificate).fingerprint256)
    before.socket.write('<still-here/>')
    expect(await before.inbox.until('<still-here/>')).toBe('<still-here/>')
  })
})

const secured = (port: number, ca: string): Promise<{ socket: TLSSocket; peer: PeerCertificate; inbox: Inbox }> =>
  new Promise((resolve, reject) => {
    const inbox = new Inbox()
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca }, () =>
      resolve({ socket, peer: socket.getPeerCertificate(), inbox }),
    )
    socket.on('data', (chunk: Buffer) => inbox.add(chunk)).on('error', reject)
    onTestFinished(() => void socket.destroy())
  })
