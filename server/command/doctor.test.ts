import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig, type Overrides } from '#server/base/config.ts'
import { makeSelfSigned } from '#server/transport/self-signed.ts'
import { examineCertificate } from './doctor-certificate.ts'
import { examineDns, type Resolver } from './doctor-dns.ts'
import { examineClock, examineFileLimit, examineNode, examineStorage } from './doctor-machine.ts'
import { examinePorts } from './doctor-ports.ts'
import { examineServer } from './doctor-server.ts'
import type { Finding } from './finding.ts'

const DAY_MS = 86_400_000
let folder: string
const pair = makeSelfSigned({ domain: 'example.org', notBeforeMs: Date.UTC(2026, 0, 1), notAfterMs: Date.UTC(2026, 3, 1) })
const closers: (() => Promise<void>)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-doctor-'))
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  rmSync(folder, { recursive: true })
})

const OFF = { c2s: 'off', tls: 'off', http: 'off', https: 'off', admin: 'off' }
const config = (overrides: Overrides) => loadConfig({ overrides })
const short = (findings: readonly Finding[]): readonly string[] => findings.map(({ kind, what }) => `${kind}: ${what}`)

describe('the certificate', () => {
  const withPair = (domain = 'example.org', key = pair.key) => {
    writeFileSync(join(folder, 'cert.pem'), pair.certificate)
    writeFileSync(join(folder, 'key.pem'), key, { mode: 0o600 })
    return config({ domain, tls: { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') } })
  }

  test('is in order when it names the domain, belongs to the key and is valid for a while', () => {
    expect(short(examineCertificate(withPair(), Date.UTC(2026, 1, 1)))).toEqual([
      'good: the certificate is for example.org',
      'good: the certificate is valid until 2026-04-01',
    ])
  })

  test.each([
    [Date.UTC(2026, 2, 25), 'doubtful: the certificate expires on 2026-04-01'],
    [Date.UTC(2026, 3, 2), 'bad: the certificate expired on 2026-04-01'],
    [Date.UTC(2025, 11, 31), 'bad: the certificate is not valid before 2026-01-01'],
  ])('is looked at by the day: at %d, %s', (nowMs, finding) => {
    expect(short(examineCertificate(withPair(), nowMs))).toContain(finding)
  })

  test('RFC 6125 §6.4.4: must name the domain among its alternative names', () => {
    expect(short(examineCertificate(withPair('verona.example'), Date.UTC(2026, 1, 1)))).toContainEqual(
      expect.stringMatching(/^bad: the certificate is not for verona.example but for DNS:example.org/),
    )
  })

  test('must belong to its key, which is nobody else’s to read', () => {
    const other = makeSelfSigned({ domain: 'example.org', notBeforeMs: 0, notAfterMs: DAY_MS })
    const mismatched = withPair('example.org', other.key)
    chmodSync(join(folder, 'key.pem'), 0o644)
    expect(short(examineCertificate(mismatched, Date.UTC(2026, 1, 1)))).toEqual([
      `bad: ${folder}/key.pem is not the key of ${folder}/cert.pem`,
      'good: the certificate is for example.org',
      'good: the certificate is valid until 2026-04-01',
      `doubtful: everyone on this machine may read ${folder}/key.pem`,
    ])
  })

  test('may be missing for localhost only, and must be readable', () => {
    expect(short(examineCertificate(config({}), 0))).toEqual(['good: the certificate is self-made, for localhost'])
    expect(short(examineCertificate(config({ domain: 'example.org' }), 0))).toEqual([
      'bad: there is no certificate for example.org; clients will not trust a self-made one',
    ])
    const missing = config({ tls: { certificate: join(folder, 'no.pem'), key: join(folder, 'no.pem') } })
    expect(short(examineCertificate(missing, 0))[0]).toMatch(/^bad: .*no\.pem cannot be read as a certificate: ENOENT/)
  })
})

describe('DNS', () => {
  const resolver = (
    records: Readonly<Record<string, readonly [string, number][]>>,
    addresses: Readonly<Record<string, readonly string[]>>,
  ): Resolver => ({
    async srv(name) {
      const found = records[name]
      if (found === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' })
      return found.map(([target, port]) => ({ name: target, port, priority: 0, weight: 5 }))
    },
    addresses: async (name) => addresses[name] ?? [],
  })

  test('RFC 6120 §3.2 and XEP-0368: SRV records point to the ports of a host with an address', async () => {
    const found = await examineDns(
      config({ domain: 'example.org' }),
      resolver(
        {
          '_xmpp-client._tcp.example.org': [['a.example.org', 5222]],
          '_xmpps-client._tcp.example.org': [['a.example.org', 443]],
        },
        { 'a.example.org': ['192.0.2.1'] },
      ),
    )
    expect(short(found)).toEqual([
      'good: _xmpp-client._tcp.example.org points to a.example.org:5222',
      'doubtful: _xmpps-client._tcp.example.org points to a.example.org:443, but the server listens on 5223',
    ])
  })

  test('the fix is the record to add', async () => {
    const found = await examineDns(config({ domain: 'example.org' }), resolver({}, { 'example.org': ['192.0.2.1'] }))
    expect(short(found)).toEqual([
      'doubtful: there is no record _xmpp-client._tcp.example.org',
      'doubtful: there is no record _xmpps-client._tcp.example.org',
      'good: example.org is at 192.0.2.1',
    ])
    expect(found[0]).toMatchObject({ fix: 'Add to DNS: _xmpp-client._tcp.example.org. 3600 IN SRV 0 5 5222 example.org.' })
  })

  test('a domain that nobody finds is bad, and so is a port that nobody guesses', async () => {
    expect(short(await examineDns(config({ domain: 'example.org' }), resolver({}, {})))).toContain(
      'bad: example.org has no address in DNS, so nobody finds the server',
    )
    const moved = config({ domain: 'example.org', listen: { c2s: 15222 } })
    expect(short(await examineDns(moved, resolver({}, { 'example.org': ['192.0.2.1'] })))).toContain(
      'bad: without SRV records clients try port 5222, but listen.c2s is 15222',
    )
    const lost = resolver({ '_xmpp-client._tcp.example.org': [['gone.example.org', 5222]] }, {})
    expect(short(await examineDns(config({ domain: 'example.org', listen: { tls: 'off' } }), lost))).toEqual([
      'bad: _xmpp-client._tcp.example.org points to gone.example.org:5222, which has no address',
    ])
  })

  test('localhost needs none', async () => {
    expect(short(await examineDns(config({}), resolver({}, {})))).toEqual(['good: localhost needs no DNS'])
  })
})

describe('ports', () => {
  const listen = async (reply: string): Promise<number> => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(reply, () => socket.destroy()))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => new Promise((resolve) => server.close(() => resolve())))
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  test('are free, or answer with XMPP or HTTP, or are taken by something else', async () => {
    const xmpp = await listen("<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams'>")
    const http = await listen('HTTP/1.1 200 OK\r\n\r\n')
    const other = await listen('SSH-2.0-x\r\n')
    const freed = await listen('')
    await closers.pop()?.()
    const found = await examinePorts(
      config({ listen: { ...OFF, address: ['127.0.0.1'], c2s: xmpp, http, admin: other, tls: freed } }),
    )
    expect(short(found)).toEqual([
      `good: port ${xmpp} (listen.c2s) answers with xmpp`,
      `good: port ${freed} (listen.tls) is free`,
      `good: port ${http} (listen.http) answers with HTTP`,
      `bad: port ${other} (listen.admin) is taken by something that does not speak HTTP`,
    ])
  })

  test('off and 0 are not looked at', async () => {
    expect(await examinePorts(config({ listen: { ...OFF, c2s: 0 } }))).toEqual([])
  })

  test('an address that the machine does not have is bad', async () => {
    const found = await examinePorts(config({ listen: { ...OFF, address: ['192.0.2.1'], c2s: 15999 } }))
    expect(short(found)).toEqual(['bad: port 15999 (listen.c2s) cannot be opened on 192.0.2.1: EADDRNOTAVAIL'])
  })
})

describe('the machine', () => {
  test('Node must be new enough', () => {
    expect(short([examineNode('24.1.0'), examineNode('22.18.0')])).toEqual(['good: Node 24.1.0', 'bad: Node 22.18.0 is too old'])
  })

  test('the clock must not be before the program or before the data', () => {
    expect(short(examineClock(0, folder))).toEqual(['bad: the clock says 1970-01-01T00:00:00.000Z, which is past'])
    expect(short(examineClock(Date.now() - DAY_MS, folder))[0]).toMatch(
      /^bad: the clock says .*, but .* was written later than that$/,
    )
    expect(short(examineClock(Date.now(), folder))[0]).toMatch(/^(good|doubtful): the clock says/)
  })

  test('the data folder must be writable and nobody else’s', () => {
    expect(short(examineStorage(join(folder, 'not/yet')))[0]).toMatch(/is writable, with \d+ MiB free$/)
    chmodSync(folder, 0o755)
    expect(short(examineStorage(folder))).toContain(`doubtful: everyone on this machine may look into ${folder}`)
  })

  test('there must be files for connections', () => {
    expect(short(examineFileLimit('Max open files            1024                 2048                 files'))).toEqual([
      'doubtful: the process may open 2048 files, so there can be no more connections than that',
    ])
    expect(short(examineFileLimit('Max open files            1024                 1048576              files'))).toEqual([
      'good: the process may open 1048576 files',
    ])
    expect(examineFileLimit('')).toEqual([])
  })
})

describe('the server', () => {
  const answering = (status: number, text: string): Promise<number> =>
    new Promise((resolve) => {
      const server = createHttpServer((_request, response) => response.writeHead(status, { Connection: 'close' }).end(text))
      closers.push(() => new Promise((closed) => server.close(() => closed())))
      server.listen(0, '127.0.0.1', () => {
        const at = server.address()
        resolve(typeof at === 'object' && at !== null ? at.port : 0)
      })
    })
  const findings = async (port: number) => short(await examineServer(config({ listen: { ...OFF, admin: port } })))

  test('runs and can write, or says why it cannot', async () => {
    expect(await findings(await answering(200, 'ready\n'))).toEqual(['good: the server runs, and its store can write'])
    expect(await findings(await answering(503, 'the store cannot write: the disk is full\n'))).toEqual([
      'bad: the server runs, but the store cannot write: the disk is full',
    ])
  })

  test('is not the program that has taken its port', async () => {
    expect(await findings(await answering(200, '<html>'))).toEqual([])
  })

  test('may well not run', async () => {
    const port = await answering(200, '')
    await closers.pop()?.()
    expect(await findings(port)).toEqual(['good: the server does not run now; start it with: waxwing serve'])
    expect(await findings(0)).toEqual([])
  })
})
