import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { pause } from '#server/base/clock.ts'
import { hasRedis, redisServer } from '#server/cluster/contract/redis-server.ts'
import { PASSWORD, ProgramUnderTest } from '#server/testing/program-under-test.ts'
import { RoamingClient } from '#server/testing/roaming-client.ts'
import { mongoServer } from '#storage/contract/mongodb-server.ts'

/** DESIGN §10: nodes of a fleet are replaced one after the other, while their clients talk. */

const database = await mongoServer()
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(() => database?.stop())

const NODES = ['n1', 'n2', 'n3']
const PAIRS = [
  ['romeo', 'juliet'],
  ['tybalt', 'mercutio'],
  ['nurse', 'peter'],
] as const
/** Two seconds where nothing else runs; on a loaded machine three nodes, a database and all clients wait for each other. Who waited for a lease or a timeout would be away for longer. */
const AWAY_MS = 15_000

/** As much as a stand-in for MongoDB carries while a node starts on the same machine. */
const WRITES_EVERY_MS = 300

const startNodes = async (): Promise<readonly ProgramUnderTest[]> => {
  const redis = await redisServer()
  ends.push(() => redis.stop())
  const store = `store: { driver: mongodb, url: "${database?.newUrl()}" }`
  const nodes: ProgramUnderTest[] = []
  for (const name of NODES) {
    const node = await ProgramUnderTest.configure(
      `${store}\ncluster: { redis: "redis://127.0.0.1:${redis.port}", node: ${name} }\nlimits: { rates: false }`,
    )
    ends.push(() => node.remove())
    node.start()
    await node.started()
    nodes.push(node)
  }
  return nodes
}

const startClients = async (nodes: readonly ProgramUnderTest[]): Promise<readonly RoamingClient[]> => {
  const ports = await Promise.all(nodes.map(async (node) => Number((await node.says('server-started')).c2s)))
  const clients: RoamingClient[] = []
  for (const pair of PAIRS)
    for (const [at, name] of pair.entries()) {
      await nodes[0]?.addAccount(name)
      const client = new RoamingClient({ name, password: PASSWORD, peer: pair[1 - at] ?? '', ports }, clients.length)
      clients.push(client)
      void client.live()
      ends.push(() => client.ends())
    }
  return clients
}

const missing =
  database === undefined ? 'a MongoDB that is not here (sh conformance/install.sh)' : 'a redis-server that is not here'
describe.skipIf(database === undefined || !hasRedis)(`three nodes, with ${hasRedis ? database?.name : missing}`, () => {
  test('a rolling restart loses nothing, doubles nothing, and keeps no client away for long; the last node has nobody to leave them to', async () => {
    const nodes = await startNodes()
    const clients = await startClients(nodes)
    await expect.poll(() => clients.every(({ isOnline }) => isOnline), { timeout: 20_000 }).toBe(true)
    let isOver = false
    const talking = (async () => {
      while (!isOver) {
        for (const client of clients) client.writes()
        await pause(WRITES_EVERY_MS)
      }
    })()
    await expect.poll(() => clients.every(({ received }) => received.length > 5), { timeout: 30_000 }).toBe(true)

    // DESIGN P5: an operator sees it.
    for (const node of nodes)
      expect({
        links: await node.measure('waxwing_bus_links'),
        lease: await node.measure('waxwing_lease_renewed'),
        malformed: await node.measure('waxwing_bus_malformed_total'),
      }).toEqual({ links: NODES.length - 1, lease: 1, malformed: 0 })
    const sums = async (...names: readonly string[]): Promise<readonly number[]> =>
      Promise.all(
        names.map(async (name) => (await Promise.all(nodes.map((node) => node.measure(name)))).reduce((a, b) => a + b, 0)),
      )
    const [homes = 0, forwarded = 0, arrived = 0] = await sums(
      'waxwing_homes',
      'waxwing_stanzas_forwarded_total',
      'waxwing_stanzas_arrived_total',
    )
    expect({ homes: homes >= clients.length, goes: forwarded > 0, comes: arrived > 0 }).toEqual({
      homes: true,
      goes: true,
      comes: true,
    })

    for (const node of nodes) {
      const drained = await node.run(['drain', '--grace', '1'])
      expect(drained).toMatchObject({ code: 0, said: expect.stringContaining('The server has handed over what it had') })
      expect(await node.ended()).toBe(0)
      node.log.length = 0
      node.start()
      await node.started()
    }
    isOver = true
    await talking
    await expect.poll(() => clients.every(({ isHeard }) => isHeard), { timeout: 30_000 }).toBe(true)
    const all = (): readonly (readonly string[])[] => clients.map(({ received }) => received)
    const written = clients.map((_, at) => clients[at % 2 === 0 ? at + 1 : at - 1]?.written ?? [])
    await expect.poll(() => all().map(({ length }) => length), { timeout: 10_000 }).toEqual(written.map(({ length }) => length))
    expect(all()).toEqual(written)
    const [revived = 0] = await sums('waxwing_sessions_revived_total')
    expect(revived).toBeGreaterThan(0)
    // Each of them was somewhere that was drained, at least once.
    for (const { counts } of clients) expect(counts).toEqual({ resumed: expect.any(Number), refused: 0 })
    expect(clients.reduce((sum, { counts }) => sum + counts.resumed, 0)).toBeGreaterThanOrEqual(clients.length)
    expect(Math.max(...clients.map(({ longestAwayMs }) => longestAwayMs))).toBeLessThan(AWAY_MS)

    const [node, ...others] = nodes
    for (const other of others) {
      other.signal('SIGTERM')
      expect(await other.ended()).toBe(0)
    }
    expect(await node?.run(['drain', '--grace', '0'])).toEqual({
      code: 1,
      said: 'No other node of this server is there, so nobody can take over: stop it as usual, with SIGTERM.\n',
    })
    await node?.becomes(200)
  }, 120_000)
})
