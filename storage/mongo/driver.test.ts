import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { MongoClient } from 'mongodb'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { wire } from '#stanzas/wire.ts'
import { type MongoServer, mongoServer } from '../contract/mongodb-server.ts'
import { type CommandProxy, type Fate, fakeServer, proxyTo } from '../contract/mongodb-wire.ts'
import { append, idsOf, jid, juliet, message, place, romeo } from '../contract/subject.ts'
import type { Commit } from '../driver.ts'
import type { StorageError } from '../storage-error.ts'
import { MongoDriver, type MongoOptions } from './driver.ts'

const HELLO = {
  ok: 1,
  isWritablePrimary: true,
  maxWireVersion: 21,
  minWireVersion: 0,
  maxBsonObjectSize: 16_777_216,
  readOnly: false,
}
const nowMs = () => 1_000_000
const found = await mongoServer()
afterAll(() => found?.stop())

describe('a server that cannot be used', () => {
  const refused = async (options: Omit<MongoOptions, 'durability' | 'nowMs'>): Promise<StorageError> => {
    try {
      await (await MongoDriver.open({ durability: 'full', nowMs, selectionMs: 300, ...options })).close()
    } catch (error) {
      return error as StorageError
    }
    throw new Error('it was opened')
  }

  test('wrong name or password: said at once, without the password, and not tried again', async () => {
    const fake = await fakeServer((command) => {
      if (command.saslStart !== undefined)
        return { ok: 0, code: 18, codeName: 'AuthenticationFailed', errmsg: 'Authentication failed.' }
      return { ...HELLO, saslSupportedMechs: ['waxwing.romeo.SCRAM-SHA-256'] }
    })
    const waits: string[] = []
    const error = await refused({
      url: `${fake.url.replace('//', '//romeo:rosebud@')}?directConnection=true&authSource=waxwing`,
      onWait: ({ message: text }) => waits.push(text),
    })
    await fake.close()
    expect(error.message).toMatch(/^MongoDB does not accept the name and password in store\.url: /)
    expect(error.message).not.toContain('rosebud')
    expect([error.name, error.isTransient, waits]).toEqual(['StorageError', false, []])
  })

  test.each([7, 12])('wire version %i: too old, and not tried again', async (maxWireVersion) => {
    const fake = await fakeServer((command) => (command.ping === 1 ? { ok: 1 } : { ...HELLO, maxWireVersion }))
    const waits: string[] = []
    const error = await refused({ url: `${fake.url}?directConnection=true`, onWait: ({ message: text }) => waits.push(text) })
    await fake.close()
    expect(error.message).toMatch(/^this MongoDB is too old/)
    expect([error.isTransient, waits]).toEqual([false, []])
  })

  test('nobody there: said, and tried again as long as somebody waits', async () => {
    const fake = await fakeServer(() => HELLO)
    await fake.close()
    const error = await refused({ url: fake.url })
    expect(error.message).toMatch(/^MongoDB cannot be reached: .*ECONNREFUSED/)
    expect(error.isTransient).toBe(true)
  })

  test.each(['mongodb://romeo:rosebud@', 'mongodb://romeo:rose bud@host:x/', 'mongodb://romeo:rosebud@host/?nonsense=1'])(
    'an address that does not parse is not repeated: %s',
    async (url) => {
      const error = await refused({ url })
      expect(error.message).not.toMatch(/rose ?bud/)
      expect(error.isTransient).toBe(false)
    },
  )
})

describe.skipIf(found === undefined)(
  `the driver, with ${found?.name ?? 'a MongoDB that is not here (sh conformance/install.sh)'}`,
  () => {
    const server = found as MongoServer
    let url: string
    let proxy: CommandProxy | undefined
    const drivers: MongoDriver[] = []
    const open = async (change: Partial<MongoOptions> = {}, observe?: (commit: Commit) => void): Promise<MongoDriver> => {
      const options: MongoOptions = { url, durability: 'full', nowMs, selectionMs: 300, patienceMs: 300, ...change }
      const driver = await MongoDriver.open(options, observe && { monotonicMs: () => performance.now(), onCommit: observe })
      drivers.push(driver)
      return driver
    }
    const meta = async <T>(use: (client: MongoClient, database: string) => Promise<T>): Promise<T> => {
      const client = new MongoClient(url)
      try {
        return await use(client, new URL(url).pathname.slice(1))
      } finally {
        await client.close()
      }
    }
    const throughProxy = async (): Promise<CommandProxy> => {
      proxy = await proxyTo(url)
      return proxy
    }
    /** Gives the first command that fits this fate, and lets all others pass. */
    const once = (
      fits: (command: Record<string, unknown>) => boolean,
      fate: Fate,
    ): ((command: Record<string, unknown>) => Fate) => {
      let isOver = false
      return (command) => {
        if (isOver || !fits(command)) return 'pass'
        isOver = true
        return fate
      }
    }

    beforeEach(() => {
      url = server.newUrl()
    })
    afterEach(async () => {
      if (proxy !== undefined) proxy.fate = () => 'pass'
      for (const driver of drivers.splice(0)) await driver.close()
      await proxy?.close()
      proxy = undefined
      await meta((client, database) => client.db(database).dropDatabase())
    })

    test.each(['lose', 'mute'] as const)('a batch without an answer (%s) is sent again, and is there once', async (fate) => {
      const between = await throughProxy()
      const commits: Commit[] = []
      const { log } = await open({ url: between.url, patienceMs: 10_000 }, (commit) => commits.push(commit))
      between.fate = once((command) => command.insert === 'log', fate)
      const order: number[] = []
      await Promise.all([1, 2, 3].map((id) => append(log, message(id)).then(() => order.push(id))))
      expect(order).toEqual([1, 2, 3])
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 2, 3])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([1, 2, 3])
      expect(commits).toMatchObject([{ operations: 3, failures: 0 }])
    })

    test('a batch that is sent by a connection whose end is not told yet is sent again, and is there once', async () => {
      const between = await throughProxy()
      const sockets: Socket[] = []
      const made = (event: unknown): void => void sockets.push((event as { readonly socket: Socket }).socket)
      subscribe('net.client.socket', made)
      const { log } = await open({ url: between.url, patienceMs: 10_000, answerMs: 500 })
      await append(log, message(1))
      unsubscribe('net.client.socket', made)
      const appended = new Promise<void>((resolve, reject) => {
        let isSent = false
        const send = (): void => {
          if (!isSent) append(log, message(2)).then(resolve, reject)
          isSent = true
        }
        for (const socket of sockets) socket.once('end', send)
      })
      between.hangUp()
      await appended
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 2])
    })

    test('what waits while the database is away is refused in order, and what was refused is not there afterwards', async () => {
      const between = await throughProxy()
      const driver = await open({ url: between.url })
      const { log } = driver
      await append(log, message(1))
      let isAway = true
      // The answer is lost, and then everything else: it is written, and nobody was told so.
      between.fate = (command) => (!isAway ? 'pass' : command.insert === 'log' ? 'mute' : 'lose')
      const outcomes: string[] = []
      const appended = [2, 3].map((id) =>
        append(log, message(id)).catch((error: StorageError) => outcomes.push(`${id} ${error.name} ${error.isTransient}`)),
      )
      log.clearPending(juliet, 1, 5000)
      await Promise.all(appended)
      expect(outcomes).toEqual(['2 StorageError true', '3 StorageError true'])
      await expect(log.range(juliet, { limit: 9 })).rejects.toThrow('MongoDB cannot be reached')
      await expect(driver.check()).rejects.toThrow('MongoDB cannot be reached')
      await expect(driver.documents<number>('m/s').put('o', 'k', 1)).rejects.toThrow('MongoDB cannot be reached')

      isAway = false
      await expect
        .poll(
          () =>
            driver.check().then(
              () => 'back',
              () => 'away',
            ),
          { timeout: 10_000 },
        )
        .toBe('back')
      await append(log, message(4))
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 4])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([4])
      expect((await log.get(juliet, 1))?.takenAtMs).toBe(5000)
    })

    test('a message of another server with the same id is not taken for ours', async () => {
      const [one, two] = [await open(), await open()]
      await append(one.log, message(7))
      await expect(append(two.log, message(7, { atMs: 1 }))).rejects.toThrow('another server gave a message the same id')
      expect((await one.log.get(romeo, 7))?.atMs).toBe(7000)
    })

    test('after a process that was killed, ids go on above all that it gave', async () => {
      const killed = await open()
      await append(killed.log, message(1000))
      const { log } = await open()
      expect(await log.lastId()).toBeGreaterThanOrEqual(1000)
    })

    test.runIf(server.kill !== undefined)(
      'a database that is away at the start is waited for, and one that restarts keeps what it acknowledged',
      async () => {
        const first = await open()
        await append(first.log, message(1))
        await first.close()
        drivers.splice(0)
        await server.kill?.()
        const waits: string[] = []
        const driver = await open({
          onWait({ message: text }) {
            waits.push(text)
            if (waits.length === 1) void server.start?.()
          },
        })
        expect(waits[0]).toMatch(/^MongoDB cannot be reached: /)
        expect(idsOf(await driver.log.range(juliet, { limit: 9 }))).toEqual([1])
      },
    )

    test('putIf that got no answer knows its own work', async () => {
      const between = await throughProxy()
      const store = (await open({ url: between.url })).documents<string>('m/s')
      between.fate = once((command) => command.insert === 'documents', 'mute')
      expect(await store.putIf('o', 'k', 'first', undefined)).toBe(true)
      const first = await store.getRevised('o', 'k')
      between.fate = once((command) => command.update === 'documents', 'mute')
      expect(await store.putIf('o', 'k', 'second', first?.revision)).toBe(true)
      expect(await store.putIf('o', 'k', 'third', first?.revision)).toBe(false)
      expect(await store.get('o', 'k')).toBe('second')
    })

    test('an account whose making got no answer is made, once', async () => {
      const between = await throughProxy()
      const { accounts } = await open({ url: between.url })
      const account = { jid: romeo, createdAtMs: 1, credentials: { scram: {} }, isDisabled: false }
      between.fate = once((command) => command.insert === 'accounts', 'mute')
      expect(await accounts.create(account)).toBe(true)
      expect(await accounts.create(account)).toBe(false)
    })

    describe('several documents at once', () => {
      const before = [
        ['a', 1],
        ['gone', 1],
      ]
      const after = [
        ['a', 2],
        ['b', 2],
      ]
      const change = [
        { key: 'a', value: 2 },
        { key: 'gone', value: undefined },
        { key: 'b', value: 2 },
      ]
      const seen = async (driver: MongoDriver) =>
        (await driver.documents<number>('m/s').list('o')).map(({ key, value }) => [key, value])

      /** A process that ends at the first command that fits: from then on nothing of it arrives. */
      const dies = async (fits: (command: Record<string, unknown>) => boolean, isCarriedOut: boolean): Promise<MongoDriver> => {
        const [witness, between] = [await open(), await throughProxy()]
        const dying = await open({ url: between.url })
        const store = dying.documents<number>('m/s')
        await store.put('o', 'a', 1)
        await store.put('o', 'gone', 1)
        let isDead = false
        between.fate = (command) => {
          if (isDead) return 'lose'
          isDead = fits(command)
          return !isDead ? 'pass' : isCarriedOut ? 'mute' : 'lose'
        }
        await store.putAll('o', change).catch(() => undefined)
        expect(isDead).toBe(true)
        return witness
      }

      test.each([
        ['before the group is decided', (command: Record<string, unknown>) => command.insert === 'groups', false, before],
        ['as the group is decided', (command: Record<string, unknown>) => command.insert === 'groups', true, after],
        ['before it is cleared away', (command: Record<string, unknown>) => command.delete === 'groups', false, after],
        ['while they are written', (command: Record<string, unknown>) => command.insert === 'documents', false, before],
      ])('a process that dies %s leaves all or nothing', async (_, fits, isCarriedOut, expected) => {
        const witness = await dies(fits, isCarriedOut)
        expect(await seen(witness)).toEqual(expected)
        const store = witness.documents<number>('m/s')
        for (const [key, value] of expected) expect(await store.get('o', String(key))).toBe(value)
        const [, second] = await store.list('o')
        expect(await store.putIf('o', second?.key ?? '', 9, second?.revision)).toBe(true)
        await store.putAll('o', [
          { key: 'a', value: 3 },
          { key: 'c', value: 3 },
        ])
        expect(await store.get('o', 'a')).toBe(3)
        expect(await store.get('o', second?.key ?? '')).toBe(9)
        expect(await store.delete('o', 'gone')).toBe(expected === before)
      })

      test('of two servers that write the same documents at once, each wins whole', async () => {
        const [one, two] = [await open(), await open()]
        for (let round = 1; round <= 5; round += 1) {
          const write = (driver: MongoDriver, value: number) =>
            driver.documents<number>('m/s').putAll(
              'o',
              ['a', 'b', 'c'].map((key) => ({ key, value })),
            )
          await Promise.all([write(one, round), write(two, -round)])
          const values = (await seen(one)).map(([, value]) => value)
          expect(new Set(values).size).toBe(1)
          expect(Math.abs(Number(values[0]))).toBe(round)
        }
      })
    })

    test.each([
      [{ version: 3, oldest: 2 }, /a newer Waxwing wrote.*Start that version or a newer one/],
      [{ version: -1, oldest: -2 }, /Start the versions in between first/],
    ])('a database of another time is refused, saying what to do: %o', async (schema, said) => {
      await (await open()).close()
      drivers.splice(0)
      await meta((client, database) =>
        client.db(database).collection<{ _id: string }>('meta').updateOne({ _id: 'schema' }, { $set: schema }),
      )
      await expect(open()).rejects.toThrow(said)
      await expect(open()).rejects.toMatchObject({ isTransient: false })
    })

    test.each([
      [
        { version: 2, oldest: 1 },
        { version: 2, oldest: 1 },
      ],
      [
        { version: 0, oldest: 0 },
        { version: 1, oldest: 0 },
      ],
    ])('a database of the version after or before is worked on: %o', async (schema, becomes) => {
      await (await open()).close()
      drivers.splice(0)
      const change = <T>(use: (client: MongoClient, database: string) => Promise<T>) => meta(use)
      await change((client, database) =>
        client.db(database).collection<{ _id: string }>('meta').updateOne({ _id: 'schema' }, { $set: schema }),
      )
      await append((await open()).log, message(1))
      const kept = await change((client, database) =>
        client.db(database).collection<{ _id: string }>('meta').findOne({ _id: 'schema' }),
      )
      expect(kept).toEqual({ _id: 'schema', ...becomes })
    })

    test('what replaces a stanza reaches every owner of the record, also those that its places do not name as peers', async () => {
      const { log } = await open()
      const tybalt = jid('tybalt@verona.example')
      const places = [place(juliet, juliet, 'in'), place(romeo, tybalt, 'out')]
      await append(log, message(1, { places }))
      await append(log, message(2, { places: [...places, place(tybalt, romeo, 'in')] }))
      for (const id of [1, 2]) expect(await log.replace(juliet, id, wire('<gone/>'))).toBe(true)
      for (const owner of [juliet, romeo])
        expect((await log.range(owner, { limit: 9 })).map(({ stanza }) => stanza)).toEqual(['<gone/>', '<gone/>'])
      expect((await log.get(tybalt, 2))?.stanza).toBe('<gone/>')
    })

    test('a mark that was taken off before there was an entry is no mark of it, also in one turn', async () => {
      const { log } = await open()
      log.clearPending(juliet, 5, 1)
      const appended = append(log, message(5))
      log.clearPending(juliet, 4, 1)
      await appended
      expect(await log.countPending(juliet)).toBe(1)
    })

    test('closing commits what is queued, and then refuses', async () => {
      const driver = await open()
      const appended = append(driver.log, message(1))
      const put = driver.documents<number>('m/s').put('o', 'k', 1)
      await driver.close()
      await Promise.all([appended, put])
      await expect(append(driver.log, message(2))).rejects.toThrow('the store is closed')
      await expect(driver.check()).rejects.toThrow('the store is closed')
      await driver.close()
    })
  },
)
