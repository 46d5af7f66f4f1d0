import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasRedis, type RedisServer, redisServer } from '#server/cluster/contract/redis-server.ts'
import { ProgramUnderTest } from '#server/testing/program-under-test.ts'
import { mongoServer } from '#storage/contract/mongodb-server.ts'
import { fakeServer } from '#storage/contract/mongodb-wire.ts'

/** What the program needs is not there when it starts, does not let it in, or is not what it must be. */

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const configured = async (configuration: string): Promise<ProgramUnderTest> => {
  const program = await ProgramUnderTest.configure(configuration)
  ends.push(() => program.remove())
  return program
}

const HELLO = {
  ok: 1,
  isWritablePrimary: true,
  maxWireVersion: 21,
  minWireVersion: 0,
  maxBsonObjectSize: 16_777_216,
  readOnly: false,
}

describe.each([
  ['one process', ''],
  ['workers', 'workers: 2'],
])('%s', (_, workers) => {
  const refused = async (url: string): Promise<string> => {
    const program = await configured(`store: { driver: mongodb, url: "${url}" }\n${workers}`)
    program.start()
    expect(await program.ended()).toBe(1)
    expect(program.said).not.toMatch(/rosebud|store-unreachable|server-started/)
    return program.said.trim().split('\n').at(-1) ?? ''
  }

  test('a MongoDB that refuses the password ends it with a reason, and nothing is started', async () => {
    const fake = await fakeServer((command) =>
      command.saslStart === undefined
        ? { ...HELLO, saslSupportedMechs: ['waxwing.romeo.SCRAM-SHA-256'] }
        : { ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' },
    )
    ends.push(() => fake.close())
    expect(await refused(`${fake.url.replace('//', '//romeo:rosebud@')}?directConnection=true&authSource=waxwing`)).toMatch(
      /^(waxwing failed: )?MongoDB does not accept the name and password in store\.url/,
    )
  }, 60_000)

  test('a MongoDB that is too old does', async () => {
    const fake = await fakeServer(() => ({ ...HELLO, maxWireVersion: 9 }))
    ends.push(() => fake.close())
    expect(await refused(`${fake.url}?directConnection=true`)).toMatch(
      /^(waxwing failed: )?this MongoDB is too old .*: it has to be 5\.0 or newer$/,
    )
  }, 60_000)
})

const database = await mongoServer()
afterAll(() => database?.stop())
const { kill, start } = database ?? {}

describe.skipIf(database === undefined)(`a server with ${database?.name ?? 'a MongoDB that is not here'}`, () => {
  let store: string
  beforeEach(async () => {
    store = `store: { driver: mongodb, url: "${database?.newUrl()}" }`
  })

  describe.skipIf(kill === undefined || start === undefined)('that is away', () => {
    test.each([
      ['one process', '', /^it waits for its store: MongoDB cannot be reached/],
      ['workers', 'workers: 2', /^0 of 2 workers serve: it waits for its store: MongoDB cannot be reached/],
    ])(
      '%s: operators are told so, and it starts by itself when the database is there',
      async (_, workers, reason) => {
        await kill?.()
        const node = await configured(`${store}\n${workers}`)
        node.start()
        expect(await node.says('store-unreachable')).toMatchObject({ reason: /^MongoDB cannot be reached/, triesAgainInMs: 500 })
        await node.becomes(503, reason)
        expect(await node.ask('/healthz')).toEqual({ status: 200, text: 'ok\n' })
        await start?.()
        await node.becomes(200)
        await node.addAccount('romeo')
        await node.connect('romeo', 'orchard')
        node.signal('SIGTERM')
        expect(await node.ended()).toBe(0)
      },
      120_000,
    )

    test('it stops at once when it is told to while it waits', async () => {
      await kill?.()
      const node = await configured(store)
      node.start()
      await node.says('store-unreachable')
      node.signal('SIGTERM')
      expect(await node.ended()).toBe(0)
      await start?.()
    }, 60_000)
  })

  describe.skipIf(!hasRedis)('and Redis', () => {
    let redis: RedisServer
    beforeEach(async () => {
      redis = await redisServer('--requirepass', 'rosebud')
      ends.push(() => redis.stop())
    })
    const cluster = (password: string, name: string) =>
      `${store}\ncluster: { redis: "redis://:${password}@127.0.0.1:${redis.port}", node: ${name} }`

    test('a Redis that is away is waited for: operators are told so, without its password', async () => {
      await redis.kill()
      const node = await configured(cluster('rosebud', 'n1'))
      node.start()
      await node.says('redis-unreachable')
      await node.becomes(503, /^it waits for Redis: Redis at 127\.0\.0\.1:\d+: connect ECONNREFUSED/)
      expect(await node.ask('/healthz')).toEqual({ status: 200, text: 'ok\n' })
      await redis.start()
      await node.becomes(200)
      expect(node.said).not.toContain('rosebud')
      node.signal('SIGTERM')
      expect(await node.ended()).toBe(0)
    }, 90_000)

    test('a Redis that refuses the password ends it, with a reason and nothing started', async () => {
      const node = await configured(cluster('thorn', 'n1'))
      node.start()
      expect(await node.ended()).toBe(1)
      expect(node.said.trim().split('\n').at(-1)).toBe(
        `waxwing failed: Redis at 127.0.0.1:${redis.port}: it refuses the name and password in cluster.redis`,
      )
      expect(node.said).not.toContain('thorn')
    }, 60_000)

    test('of two nodes with one name the second is refused while the first lives, and joins a lease after it has died', async () => {
      const [first, second] = [await configured(cluster('rosebud', 'n1')), await configured(cluster('rosebud', 'n1'))]
      first.start()
      await first.becomes(200)
      second.start()
      expect(await second.says('cluster-name-held')).toMatchObject({ name: 'n1' })
      await second.becomes(503, /^it waits for the name n1/)
      expect(await second.ended()).toBe(1)
      expect(second.said.trim().split('\n').at(-1)).toBe('waxwing failed: another node is called n1: give this one another name')
      await first.becomes(200)
      first.signal('SIGKILL')
      await first.ended()
      second.start()
      await second.becomes(200)
      second.signal('SIGTERM')
      expect(await second.ended()).toBe(0)
    }, 120_000)
  })
})
