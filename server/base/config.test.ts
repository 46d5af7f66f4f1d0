import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConfigError, listenAddresses, loadConfig, moduleConfig, type Overrides } from './config.ts'
import { boolean, duration, integer, section, text } from './schema.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-config-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const push = {
  relay: text({ default: 'push.example', doc: 'Where to.' }),
  retry: section({ doc: '', fields: { after: duration('5s', { doc: '' }) } }),
}
const carbons = { on: boolean({ default: true, doc: '' }), most: integer({ default: 3, min: 1, max: 9, doc: '' }) }

const load = (yaml: string, overrides: Overrides = {}) => {
  const file = join(folder, 'waxwing.yaml')
  writeFileSync(file, yaml)
  return loadConfig({ file, overrides, modules: { push, carbons } })
}

const complaints = (yaml: string, overrides: Overrides = {}): readonly string[] => {
  try {
    load(yaml, overrides)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${folder}/`, '').split('\n')
    throw error
  }
  return []
}

describe('a configuration', () => {
  test('is complete without a file', () => {
    const config = loadConfig()
    expect(config.domain).toBe('localhost')
    expect(config.listen.c2s).toBe(5222)
    expect(config.limits.stanzaBytes).toBe(262_144)
    expect(config.streamManagement.resumeTimeout).toBe(300_000)
    expect(config.data).toBe(join(process.cwd(), 'data'))
  })

  test('is complete with an empty file, one of comments, and empty sections', () => {
    for (const yaml of ['', '# nothing yet\n', '---\n', 'listen:\n', 'modules:\n  push:\n'])
      expect(load(yaml).listen.tls).toBe(5223)
  })

  test('turns what is written into plain values with their units', () => {
    const config = load(`domain: example.org
data: store
listen: { c2s: 15222, http: off, address: ['192.0.2.1', '::1'] }
limits:
  stanzaBytes: 1 MiB
streamManagement:
  resumeTimeout: 2h
ledger: { retention: forever }
proxyProtocol: [10.0.0.0/8]
modules:
  push: { relay: r.example, retry: { after: 500ms } }
`)
    expect(config.listen).toMatchObject({ c2s: 15222, tls: 5223, http: 'off', address: ['192.0.2.1', '::1'] })
    expect(config.limits.stanzaBytes).toBe(1_048_576)
    expect(config.streamManagement.resumeTimeout).toBe(7_200_000)
    expect(config.ledger).toMatchObject({ mode: 'durable', retention: 'forever' })
    expect(config.data).toBe(join(folder, 'store'))
    expect(moduleConfig(config, 'push', push)).toEqual({ relay: 'r.example', retry: { after: 500 } })
    expect(moduleConfig(config, 'carbons', carbons)).toEqual({ on: true, most: 3 })
  })

  test('follows anchors', () => {
    expect(
      load('limits: { depth: &d 100 }\nmodules: { carbons: { most: 4 } }\nlogin: { failuresPerAccount: *d }\n').login
        .failuresPerAccount,
    ).toBe(100)
  })

  test('lets overrides win over the file', () => {
    const config = load('domain: example.org\nlisten: { c2s: 1, tls: 2 }\n', { domain: 'other.example', listen: { c2s: 0 } })
    expect(config.domain).toBe('other.example')
    expect(config.listen).toMatchObject({ c2s: 0, tls: 2 })
  })

  test('listens on the loopback for localhost only', () => {
    expect(listenAddresses(load(''))).toEqual(['127.0.0.1', '::1'])
    expect(listenAddresses(load('domain: example.org'))).toEqual(['::'])
    expect(listenAddresses(load('listen: { address: [192.0.2.7] }'))).toEqual(['192.0.2.7'])
  })
})

describe('a wrong configuration', () => {
  test.each([
    [
      'listen:\n  prot: 5\n',
      'waxwing.yaml:2:3: listen.prot: there is no such key. Remove it, or write one of address, c2s, tls, http, httpAddress, publicUrl, https, admin.',
    ],
    ['listen:\n  htpp: 5\n', 'waxwing.yaml:2:3: listen.htpp: there is no such key. Did you mean http?'],
    ['Domain: a.example\n', 'waxwing.yaml:1:1: Domain: there is no such key. Did you mean domain?'],
    ['modules: { pusch: { relay: x } }\n', 'waxwing.yaml:1:12: modules.pusch: there is no such key. Did you mean push?'],
    [
      'listen:\n  c2s: 70000\n',
      'waxwing.yaml:2:8: listen.c2s: 70000 is above the limit of 65535. Write a whole number from 0 to 65535, or off.',
    ],
    [
      'listen:\n  c2s: on\n',
      'waxwing.yaml:2:8: listen.c2s: "on" is not a whole number. Write a whole number from 0 to 65535, or off.',
    ],
    [
      'limits: { stanzaBytes: 9 KB }\n',
      'waxwing.yaml:1:24: limits.stanzaBytes: 9 KB is below the limit of 10000 B. Write a size from 10000 B to 16 MiB, such as 512 B, 256 KiB or 4 MiB.',
    ],
    [
      'streamManagement:\n  resumeTimeout: 60\n',
      'waxwing.yaml:2:18: streamManagement.resumeTimeout: 60 has no unit. Write a length of time from 0s to 24h, such as 500ms, 60s, 5m, 2h or 7d.',
    ],
    [
      'streamManagement:\n  resumeTimeout: 5 minutes\n',
      'waxwing.yaml:2:18: streamManagement.resumeTimeout: "5 minutes" is not a length of time. Write a length of time from 0s to 24h, such as 500ms, 60s, 5m, 2h or 7d.',
    ],
    [
      'login:\n  allowPlainWithoutTls: yes\n',
      'waxwing.yaml:2:25: login.allowPlainWithoutTls: "yes" is not true or false. Write true or false.',
    ],
    [
      'ledger: { mode: fast }\n',
      'waxwing.yaml:1:17: ledger.mode: "fast" is not one of durable, relaxed, off. Write durable, relaxed or off.',
    ],
    [
      'admins: juliet@example.org\n',
      'waxwing.yaml:1:9: admins: "juliet@example.org" is not a list. Write a list in brackets, each an account such as juliet@example.org.',
    ],
    [
      'proxyProtocol: [10.0.0.0/8, 10.0.0.0/64]\n',
      'waxwing.yaml:1:16: proxyProtocol.1: "10.0.0.0/64" is not an IP address or network such as 10.0.0.0/8. Write a list in brackets, each an IP address or network such as 10.0.0.0/8.',
    ],
    ['domain: a@b\n', 'waxwing.yaml:1:9: domain: "a@b" is not a domain such as example.org. Write a domain such as example.org.'],
    ['domain:\n', 'waxwing.yaml:1:8: domain: nothing is not text. Write a domain such as example.org.'],
    ['domain: { name: x }\n', 'waxwing.yaml:1:9: domain: a section is not a value. Write a domain such as example.org.'],
    ['log: loud\n', 'waxwing.yaml:1:6: log: "loud" is not a section. Write keys of it, indented below: level, format.'],
    [
      'tls:\n  certificate: c.pem\n',
      'waxwing.yaml:2:16: tls.certificate: a certificate needs its key. Write the path of the private key as tls.key.',
    ],
    ['listen: { c2s: 5, tls: 5 }\n', 'waxwing.yaml:1:24: listen.tls: port 5 is listen.c2s already. Write another port.'],
    ['domain: a\ndomain: b\n', 'waxwing.yaml:2:1: domain is written twice. Remove one of the two.'],
    ['listen: { tsl: 5 }\n', 'waxwing.yaml:1:11: listen.tsl: there is no such key. Did you mean tls?'],
    [
      'domain: example.org\n  listen: {\n',
      'waxwing.yaml:1:9: Nested mappings are not allowed in compact mappings. Write YAML: one `key: value` a line, sections indented by spaces.',
    ],
    [
      'store: { driver: mongodb }\n',
      'waxwing.yaml:1:18: store.driver: mongodb needs an address. Write where the database is as store.url.',
    ],
    [
      'store: { url: "mongo://romeo:rosebud@db" }\n',
      'waxwing.yaml:1:15: store.url: what is written is not an address such as mongodb://name:password@db1.example.org,db2.example.org/waxwing?replicaSet=rs0. Write an address such as mongodb://name:password@db1.example.org,db2.example.org/waxwing?replicaSet=rs0.',
    ],
    [
      'cluster: { redis: "redis://r" }\n',
      'waxwing.yaml:1:19: cluster.redis: several nodes need a database that all of them reach. Write store.driver: mongodb, and its address as store.url.',
    ],
    [
      'cluster: { node: n1 }\n',
      'waxwing.yaml:1:18: cluster.node: a node needs the Redis by which it finds the others. Write its address as cluster.redis, or leave this out.',
    ],
    [
      'store: { driver: mongodb, url: "mongodb://db" }\ncluster: { redis: "redis://r" }\nworkers: 2\n',
      'waxwing.yaml:3:10: workers: several processes of one machine are nodes of their own in a fleet. Leave workers out, and start each as a node with a name and ports of its own.',
    ],
    [
      '- a\n',
      'waxwing.yaml:1:1: the file is not a list of keys and values. Write YAML: one `key: value` a line, sections indented by spaces.',
    ],
  ])('%j is refused with place, reason and fix', (yaml, complaint) => {
    expect(complaints(yaml)).toEqual([complaint])
  })

  test('reports every problem at once, from the command line too', () => {
    expect(
      complaints('domain: 5\nlisten:\n  c2s: -1\n  nope: 1\nmodules:\n  carbons: { most: 10 }\n', { log: { level: 'loud' } }),
    ).toEqual([
      'waxwing.yaml:1:9: domain: 5 is not text. Write a domain such as example.org.',
      'waxwing.yaml:4:3: listen.nope: there is no such key. Remove it, or write one of address, c2s, tls, http, httpAddress, publicUrl, https, admin.',
      'waxwing.yaml:3:8: listen.c2s: -1 is below the limit of 0. Write a whole number from 0 to 65535, or off.',
      'command line: log.level: "loud" is not one of debug, info, warn, error. Write debug, info, warn or error.',
      'waxwing.yaml:6:20: modules.carbons.most: 10 is above the limit of 9. Write a whole number from 1 to 9.',
    ])
  })

  test('says so when there is no such file', () => {
    expect(() => loadConfig({ file: '/nowhere/waxwing.yaml' })).toThrow(
      '/nowhere/waxwing.yaml: there is no such file. Name an existing file with --config, or leave --config out to run with defaults.',
    )
  })

  test('places what is no YAML at all', () => {
    expect(complaints('a: b: c\n')[0]).toMatch(/^waxwing\.yaml:1:\d+: Nested mappings/)
    expect(complaints('listen: {\n')[0]).toMatch(/^waxwing\.yaml:\d+:\d+: /)
  })

  test('has no key from the prototype of objects', () => {
    expect(complaints('toString: 1\n__proto__: { a: 1 }\nconstructor: 2\n')).toHaveLength(3)
  })
})
