import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { wire } from '#stanzas/wire.ts'
import { recorded } from './contract/bus.ts'
import { type Child, startChild } from './contract/child.ts'
import { allLinked, at } from './contract/homes.ts'
import { type RedisTimes, redisFleet } from './contract/homes-subjects.ts'
import { hasRedis, redisServer } from './contract/redis-server.ts'
import { until } from './contract/until.ts'
import { NodeLease } from './node-lease.ts'
import { connectRedis } from './redis.ts'
import { beginLives } from './redis-directory.ts'

const JULIET = 'juliet@verona.example'
const MINE = { kind: 'mine' }
const LONG_MS = 600_000
const BUCKETS = Array.from({ length: 64 }, (_, index) => index)

describe.skipIf(!hasRedis)('homes in Redis', async () => {
  if (!hasRedis) return
  const server = await redisServer()
  afterAll(() => server.stop())
  const ends: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })

  const fleetOf = (times: RedisTimes = { leaseMs: LONG_MS, settleMs: 0 }) => {
    const fleet = redisFleet(server, times)
    ends.push(() => fleet.remove())
    const tag = (bucket?: number) => `waxwing:{${fleet.fleet}${bucket === undefined ? '' : `:${bucket}`}}`
    return {
      ...fleet,
      tag,
      /** Lets the time pass that nodes have to register again. */
      async settles() {
        const run = /run_id:(\w+)/.exec(String(await server.ask('INFO', 'server')))?.[1] ?? ''
        for (const each of [tag(), ...BUCKETS.map(tag)]) await server.ask('HSET', `${each}:state`, 'run', run, 'since', '1')
      },
    }
  }
  const restart = async (): Promise<void> => {
    await server.kill()
    await server.start()
  }
  /** Lets nodes renew until something holds. */
  const renewed = (clock: { advance(ms: number): void }, holds: () => boolean) =>
    until(async () => {
      clock.advance(1_000)
      await server.ask('PING')
      return holds()
    })
  /** Lets nodes renew until there is an answer: who waits for another node to register again waits for that. */
  const answered = async <T>(clock: { advance(ms: number): void }, answer: Promise<T>): Promise<T> => {
    let isThere = false
    const there = () => {
      isThere = true
    }
    answer.then(there, there)
    await renewed(clock, () => isThere)
    return answer
  }

  test('all parts of a new directory begin their wait when the first node comes, not with their first claim', async () => {
    const { fleet, tag } = fleetOf()
    const redis = await connectRedis(server.url)
    await beginLives(redis, fleet, LONG_MS)
    await redis.close()
    const lives = await Promise.all(BUCKETS.map((bucket) => server.ask('HGET', `${tag(bucket)}:state`, 'since')))
    expect(lives.filter((since) => Number(since) > 0)).toHaveLength(BUCKETS.length)
  })

  test('a node that could not renew in time is fenced when it looks at the clock, before it does anything else', async () => {
    const { open, clock } = fleetOf()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    await a.homes.claim(JULIET)
    const reasons: string[] = []
    a.homes.onFenced((reason) => reasons.push(reason))
    clock.jump(LONG_MS * 0.8 - 1)
    expect(a.homes.known(JULIET)).toEqual(MINE)
    clock.jump(1)
    expect(a.homes.known(JULIET)).toBeUndefined()
    expect(reasons).toEqual(['late'])
    expect(a.bus.send(b.homes.self, 'note', wire(''))).toBe(false)
    await expect(a.homes.claim(JULIET)).rejects.toMatchObject({ reason: 'fenced' })
    expect(a.homes.isValid()).toBe(false)
    expect(reasons).toEqual(['late'])
  })

  test('a node that nobody asks is fenced by its own timer; one that renews is not', async () => {
    const { open, clock } = fleetOf({ leaseMs: LONG_MS, settleMs: 0 })
    const [a, b] = [await open('a'), await open('b')]
    const reasons: string[] = []
    a.homes.onFenced((reason) => reasons.push(`a ${reason}`))
    b.homes.onFenced((reason) => reasons.push(`b ${reason}`))
    await a.redis.close()
    for (let second = 0; second < 480; second += 1) {
      clock.advance(1_000)
      await b.lease.renew()
    }
    expect(reasons).toEqual(['a late'])
    expect(b.homes.isValid()).toBe(true)
  })

  test('a node that would wait for the others for another time than they would for it is refused, until they have left', async () => {
    const { open, fleet, clock, settles } = fleetOf({ leaseMs: LONG_MS, settleMs: LONG_MS })
    await settles()
    const { lease, redis } = await open('a')
    const join = () => NodeLease.join({ redis, fleet, name: 'b', clock, log: nullLog, leaseMs: 5_000, settleMs: 5_000 })
    await expect(join()).rejects.toMatchObject({
      reason: 'unusable',
      message: 'cluster.lease is 600 s at other nodes, and 5 s here',
    })
    await lease.leave()
    await (await join()).leave()
  })

  test('a node that the directory gave up is expelled', async () => {
    const { open, tag } = fleetOf()
    const a = await open('a')
    const reasons: string[] = []
    a.homes.onFenced((reason) => reasons.push(reason))
    await server.ask('HDEL', `${tag()}:nodes`, 'a')
    await a.lease.renew()
    expect(reasons).toEqual(['expelled'])
  })

  test('a process that was stopped finds itself fenced before it answers, and another is the home; one that is killed is taken over, too', async () => {
    const { open, fleet, clock } = fleetOf({ leaseMs: LONG_MS, settleMs: 0 })
    const start = (): Child => {
      const child = startChild('redis-node.child.ts', server.url, fleet, JULIET, '1000')
      ends.push(() => child.ends())
      return child
    }
    const a = await open('a')
    const takenOver = () =>
      until(async () => {
        clock.advance(1_000)
        return (await a.homes.claim(JULIET).catch(() => undefined))?.kind === 'mine'
      }, 'it to be taken over')

    const stopped = start()
    await stopped.says('claimed mine')
    expect((await a.homes.claim(JULIET)).kind).toBe('theirs')
    stopped.signal('SIGSTOP')
    stopped.hears('who is the home?')
    await takenOver()
    stopped.signal('SIGCONT')
    await stopped.says('known undefined')
    expect(stopped.lines).toEqual(['claimed mine', 'fenced late', 'known undefined'])
    await stopped.ends()

    await a.homes.release(JULIET)
    const killed = start()
    await killed.says('claimed mine')
    killed.signal('SIGKILL')
    await takenOver()
  }, 60_000)

  test('after Redis was started anew nodes tell it again, and meanwhile nobody takes what another may hold', async () => {
    const { open, clock, settles } = fleetOf({ leaseMs: LONG_MS, settleMs: LONG_MS })
    await settles()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    const { peers } = recorded(b.bus)
    const addresses = Array.from({ length: 300 }, (_, index) => `${index}@verona.example`)
    await Promise.all(addresses.map((address) => a.homes.claim(address)))
    const lost: string[] = []
    a.homes.onLost((address) => lost.push(address))
    await b.homes.claim(JULIET)

    await server.kill()
    await expect(b.homes.claim('tybalt@verona.example')).rejects.toMatchObject({ reason: 'unavailable' })
    expect([a.homes.known('7@verona.example'), b.homes.known(JULIET)]).toEqual([MINE, MINE])
    await until(() => peers.includes('-a'), 'the link to be lost')
    expect(b.bus.send(a.homes.self, 'note', wire(''))).toBe(false)
    await server.start()
    await renewed(clock, () => a.isLinked(b.homes.self) && b.isLinked(a.homes.self))
    const homes = await answered(clock, Promise.all(addresses.map((address) => b.homes.claim(address))))
    expect(homes).toEqual(addresses.map(() => at(a)))
    expect(lost).toEqual([])

    await expect(a.homes.homeOf('nobody@verona.example')).rejects.toMatchObject({ reason: 'unavailable' })
    await expect(answered(clock, a.homes.claim('tybalt@verona.example'))).rejects.toMatchObject({ reason: 'unavailable' })
    await settles()
    expect(await b.homes.claim('benvolio@verona.example')).toEqual(MINE)
  }, 60_000)

  test('a Redis that comes back with what it knew long ago is not believed', async () => {
    const { open, clock, settles } = fleetOf({ leaseMs: LONG_MS, settleMs: LONG_MS })
    await settles()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    await a.homes.claim(JULIET)
    await server.ask('SAVE')
    await a.homes.release(JULIET)
    await b.homes.claim(JULIET)
    const lost: string[] = []
    b.homes.onLost((address) => lost.push(address))
    await restart()
    expect(Number(await server.ask('DBSIZE'))).toBeGreaterThan(0)
    await renewed(clock, () => a.isLinked(b.homes.self) && b.isLinked(a.homes.self))
    a.homes.forget(JULIET, b.homes.self)
    await until(async () => {
      const home = await a.homes.homeOf(JULIET).catch(() => undefined)
      return home?.kind === 'theirs' && home.node.epoch === b.homes.self.epoch
    }, 'b to be the home')
    expect(lost).toEqual([])
    expect(b.homes.known(JULIET)).toEqual(MINE)
  })

  test('when the directory lost its memory and another was first, the former home is told', async () => {
    const { open, tag } = fleetOf()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    await a.homes.claim(JULIET)
    await a.homes.claim('nurse@verona.example')
    const lost: string[] = []
    a.homes.onLost((address) => lost.push(address))
    for (const bucket of BUCKETS) await server.ask('DEL', `${tag(bucket)}:homes`, `${tag(bucket)}:state`)
    expect(await b.homes.claim(JULIET)).toEqual(MINE)
    // Any question to the bucket shows it.
    await Promise.all(Array.from({ length: 400 }, (_, index) => a.homes.homeOf(`${index}@verona.example`)))
    await until(() => lost.length > 0)
    expect(lost).toEqual([JULIET])
    expect(a.homes.known(JULIET)).toBeUndefined()
    expect(await a.homes.claim(JULIET)).toEqual(at(b))
    expect(await b.homes.homeOf('nurse@verona.example')).toEqual(at(a))
  })

  test('a claim whose answer was lost does not hold an address for ever', async () => {
    const { open, tag } = fleetOf()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    const { name, epoch } = a.homes.self
    for (const bucket of BUCKETS) await server.ask('HSET', `${tag(bucket)}:homes`, JULIET, `${epoch} ${name}`)
    await b.homes.claim(JULIET)
    await until(async () => (await b.homes.claim(JULIET)).kind === 'mine', 'it to be free')
    expect(await a.homes.homeOf(JULIET)).toEqual(at(b))
  })

  test('a Redis that hangs is unavailable, and used again when it goes on', async () => {
    const { open, clock } = fleetOf()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    process.kill(server.pid(), 'SIGSTOP')
    await expect(a.homes.claim(JULIET)).rejects.toMatchObject({ reason: 'unavailable' })
    process.kill(server.pid(), 'SIGCONT')
    await renewed(clock, () => a.isLinked(b.homes.self) && b.isLinked(a.homes.self))
    await until(async () => (await a.homes.claim(JULIET).catch(() => undefined))?.kind === 'mine', 'a claim')
    expect(await b.homes.homeOf(JULIET)).toEqual(at(a))
  })

  test('who waited for an address asks its home only once', async () => {
    const { open } = fleetOf()
    const [a, b] = [await open('a'), await open('b')]
    await allLinked([a, b])
    await a.homes.claim(JULIET)
    await b.homes.claim(JULIET)
    const before = Number(/total_commands_processed:(\d+)/.exec(String(await server.ask('INFO', 'stats')))?.[1])
    for (let index = 0; index < 1_000; index += 1) await b.homes.claim(JULIET)
    const after = Number(/total_commands_processed:(\d+)/.exec(String(await server.ask('INFO', 'stats')))?.[1])
    expect(after - before).toBeLessThan(50)
  })

  test('a name whose node ended without a word is free when its lease ends', async () => {
    const { open, tag, clock } = fleetOf()
    await server.ask('HSET', `${tag()}:nodes`, 'a', `5 9 ${Date.now() + 300}`)
    let isOpen = false
    const opening = open('a').finally(() => (isOpen = true))
    await until(() => {
      clock.advance(100)
      return isOpen
    })
    expect((await opening).homes.self.epoch).toBeGreaterThan(5)
  })

  test('numbers go round, so that none comes back soon; there are 256', async () => {
    const { open, tag } = fleetOf()
    const a = await open('a')
    await a.lease.leave()
    const b = await open('b')
    expect([a.homes.number, b.homes.number]).toEqual([0, 1])
    const far = String(Date.now() + LONG_MS)
    for (let number = 0; number < 256; number += 1)
      if (number !== 1) await server.ask('HSET', `${tag()}:nodes`, `n${number}`, `${number + 1} ${number} ${far}`)
    await expect(open('c')).rejects.toMatchObject({ reason: 'full' })
    await server.ask('HDEL', `${tag()}:nodes`, 'n77')
    expect((await open('c')).homes.number).toBe(77)
  })

  test('epochs grow even where Redis forgot the last one', async () => {
    const { open } = fleetOf()
    const a = await open('a')
    await server.ask('FLUSHALL')
    const b = await open('b')
    expect(b.homes.self.epoch).toBeGreaterThan(a.homes.self.epoch)
  })
})

describe.skipIf(!hasRedis)('Redis that cannot be used says why', () => {
  test('an address that is none', async () => {
    await expect(connectRedis('localhost:6379 please')).rejects.toMatchObject({
      reason: 'unusable',
      message: expect.stringContaining('cluster.redis is not an address'),
    })
  })

  test('nobody there; wrong password, which is not repeated; the right one', async () => {
    const server = await redisServer('--requirepass', 'capulet')
    const { port } = server
    await expect(connectRedis(`redis://:montague@127.0.0.1:${port}`)).rejects.toMatchObject({
      reason: 'unusable',
      message: `Redis at 127.0.0.1:${port}: it refuses the name and password in cluster.redis`,
    })
    await expect(connectRedis(`redis://127.0.0.1:${port}`)).rejects.toThrow('it refuses the name and password in cluster.redis')
    await (await connectRedis(`redis://:capulet@127.0.0.1:${port}`)).close()
    await server.stop()
    await expect(connectRedis(`redis://:montague@127.0.0.1:${port}`)).rejects.toThrow(
      /^Redis at 127\.0\.0\.1:\d+: (?!.*montague).*ECONNREFUSED/,
    )
  })

  test('one that is too old', async () => {
    const info = 'redis_version:6.2.14\r\nloading:0\r\n'
    const answer = (command: string): string => (/info\r/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
    const server = createServer((socket) => {
      socket.on('data', (asked) =>
        socket.write(
          asked
            .toString()
            .split(/^\*\d+\r\n/m)
            .slice(1)
            .map(answer)
            .join(''),
        ),
      )
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    await expect(connectRedis(`redis://127.0.0.1:${port}`)).rejects.toMatchObject({
      reason: 'unusable',
      message: 'this Redis is too old (6.2.14): it has to be 7.0 or newer',
    })
    server.close()
  })
})
