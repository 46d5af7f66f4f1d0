import { expect, test } from 'vitest'
import { recordingLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { StorageError } from '#storage/storage-error.ts'
import type { Retention } from './ledger.ts'
import { RetentionSweep } from './retention.ts'

const DAY_MS = 86_400_000
const DOMAIN = 'verona.example'

interface Stage {
  readonly clock: FakeClock
  readonly driver: MemoryDriver
  readonly sweep: RetentionSweep
  readonly entries: ReturnType<typeof recordingLog>['entries']
  /** What `expire` was asked for, a list for each turn of the loop in which it was. */
  readonly steps: { account: BareJid; limit: number }[][]
  /** What accounts say for themselves. */
  readonly own: Map<BareJid, Promise<Retention>>
  keep(account: BareJid, count: number, isPending?: boolean): Promise<void>
  left(account: BareJid): Promise<number>
  pass(ms: number): Promise<void>
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const stageOf = async (accounts: readonly BareJid[], retention: Retention): Promise<Stage> => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const { log, entries } = recordingLog()
  for (const jid of accounts) await driver.accounts.create({ jid, createdAtMs: 0, credentials: { scram: {} }, isDisabled: false })
  const steps: { account: BareJid; limit: number }[][] = []
  let asked: { account: BareJid; limit: number }[] | undefined
  const own = new Map<BareJid, Promise<Retention>>()
  const sweep = new RetentionSweep({
    accounts: driver.accounts,
    clock,
    log,
    domain: DOMAIN,
    retention,
    retentionOf: (owner) => own.get(owner),
    entries: {
      expire(account, beforeMs, limit) {
        if (asked === undefined) {
          asked = []
          steps.push(asked)
          setImmediate(() => {
            asked = undefined
          })
        }
        asked.push({ account, limit })
        return driver.log.expire(account, beforeMs, limit)
      },
    },
  })
  let id = 0
  return {
    clock,
    driver,
    sweep,
    entries,
    steps,
    own,
    async keep(owner, count, isPending = false) {
      for (let each = 0; each < count; each++) {
        id += 1
        const places = [{ owner, peer: `romeo@${DOMAIN}`, direction: 'in' as const, isPending, isTransient: false }]
        driver.log.append({ id, atMs: clock.nowMs(), stanza: wire('<message/>'), isText: true, places }, () => undefined)
      }
      await driver.log.flush()
    },
    async left(owner) {
      return (await driver.log.range(owner, { limit: 10_000 })).length
    },
    async pass(ms) {
      const endMs = clock.nowMs() + ms
      while (clock.nowMs() < endMs) {
        clock.advance(Math.min(50, endMs - clock.nowMs()))
        for (let each = 0; each < 4; each++) await turn()
      }
    },
  }
}

const account = (name: string): BareJid => `${name}@${DOMAIN}` as BareJid
const juliet = account('juliet')

test('DESIGN P6: what is older than the retention goes within the hour, what is younger stays', async () => {
  const { clock, sweep, keep, left, pass } = await stageOf([juliet], DAY_MS)
  await keep(juliet, 3)
  clock.jump(DAY_MS)
  await keep(juliet, 2)
  sweep.start()
  clock.advance(3_599_950)
  expect(await left(juliet)).toBe(5)
  await pass(100)
  expect(await left(juliet)).toBe(2)
  expect(sweep.expired).toBe(3)
  sweep.stop()
})

test('DESIGN P6: what no device has taken stays, however old it is', async () => {
  const { clock, driver, sweep, keep, left, pass } = await stageOf([juliet], DAY_MS)
  await keep(juliet, 2, true)
  await keep(juliet, 1)
  clock.jump(30 * DAY_MS)
  sweep.start()
  clock.advance(3_599_950)
  await pass(150)
  expect(await left(juliet)).toBe(2)
  expect(await driver.log.countPending(juliet)).toBe(2)
  sweep.stop()
})

test('until-delivered: what was taken and outlived a crash goes', async () => {
  const { clock, sweep, keep, left, pass } = await stageOf([juliet], 0)
  await keep(juliet, 1, true)
  await keep(juliet, 4)
  sweep.start()
  clock.advance(3_599_950)
  await pass(150)
  expect(await left(juliet)).toBe(1)
  sweep.stop()
})

test('the writer is asked for a hundred entries at most at once, and left alone between', async () => {
  const accounts = Array.from({ length: 25 }, (_, index) => account(`guest${index}`))
  const { clock, sweep, steps, keep, left, pass } = await stageOf(accounts, DAY_MS)
  for (const each of accounts) await keep(each, 1)
  await keep(account('guest7'), 250)
  clock.jump(2 * DAY_MS)
  sweep.start()
  clock.advance(3_599_950)
  await pass(50)
  expect(steps).toHaveLength(1)
  await pass(1_000)
  for (const step of steps) expect(step.reduce((sum, { limit }) => sum + limit, 0)).toBeLessThanOrEqual(100)
  for (const each of accounts) expect(await left(each)).toBe(0)
  expect(sweep.expired).toBe(275)
  sweep.stop()
})

test('a round that fails is logged, and the next one does its work', async () => {
  const { clock, driver, sweep, entries, keep, left, pass } = await stageOf([juliet], DAY_MS)
  await keep(juliet, 1)
  clock.jump(2 * DAY_MS)
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  sweep.start()
  clock.advance(3_599_950)
  await pass(150)
  expect(entries.map(({ event }) => event)).toEqual(['retention-failed'])
  expect(await left(juliet)).toBe(1)
  clock.advance(3_599_950)
  await pass(150)
  expect(await left(juliet)).toBe(0)
  sweep.stop()
})

test('a sweep that was stopped does nothing more', async () => {
  const { clock, sweep, steps, keep, pass } = await stageOf([juliet], DAY_MS)
  await keep(juliet, 200)
  clock.jump(2 * DAY_MS)
  sweep.start()
  clock.advance(3_599_950)
  await pass(50)
  expect(steps).toHaveLength(1)
  sweep.stop()
  clock.advance('2h')
  await pass(100)
  expect(steps).toHaveLength(1)
})

test('DESIGN P6: an account keeps its messages as long as it says, others as long as the host says', async () => {
  const [romeo, nurse] = [account('romeo'), account('nurse')]
  const { clock, own, sweep, keep, left, pass } = await stageOf([juliet, nurse, romeo], Number.POSITIVE_INFINITY)
  own.set(romeo, Promise.resolve(DAY_MS))
  own.set(nurse, Promise.resolve('until-delivered'))
  for (const each of [juliet, nurse, romeo]) await keep(each, 2)
  clock.jump(DAY_MS)
  for (const each of [juliet, nurse, romeo]) await keep(each, 3)
  await keep(nurse, 1, true)
  sweep.start()
  await pass(3_601_000)
  expect([await left(juliet), await left(nurse), await left(romeo)]).toEqual([5, 1, 3])
  sweep.stop()
})
