import fc from 'fast-check'
import { expect } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import { toWire, type Wire, wire } from '#stanzas/wire.ts'
import type { Driver } from '../driver.ts'
import { MemoryDriver } from '../memory/driver.ts'
import type { LogQuery } from '../shapes.ts'
import { append, jid, message, place } from './subject.ts'

/** One step of a history: it is done to both drivers, and both must say the same. */
type Step = (driver: Driver, run: Run) => Promise<unknown>
/** Owners and ids are each run's own, so that all runs share a database. */
interface Run {
  readonly number: number
  readonly firstId: number
  /** Ids that were passed over, as those of another process are that come later. */
  readonly free: number[]
}

const NAMES = ['a', 'b', 'c']
const owner = (run: Run, name: string): BareJid => jid(`${name}@run${run.number}.example`)
const name = fc.constantFrom(...NAMES)
const offset = fc.integer({ min: 0, max: 15 })
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

const texts = fc.constantFrom('Wherefore art thou', 'thou ART', 'wert thou', 'Ärger 東京', '')
const stanzaOf = (text: string): Wire => wire(`<message>${text === '' ? '' : `<body>${toWire(text)}</body>`}</message>`)

const appends = fc
  .tuple(
    fc.uniqueArray(fc.tuple(name, name, fc.boolean(), fc.integer({ min: 0, max: 3 })), {
      minLength: 1,
      maxLength: 3,
      selector: ([own]) => own,
    }),
    fc.nat(20),
    texts,
    fc.constantFrom('next', 'next', 'over', 'late', 'earliest'),
  )
  .map(([places, atMs, text, which]): Step => {
    const ids = new WeakMap<Run, number>()
    return async (driver, run) => {
      const id = ids.get(run) ?? nextId(run, which)
      ids.set(run, id)
      const record = message(id, {
        atMs,
        stanza: stanzaOf(text),
        isText: text !== '',
        places: places.map(([own, peer, isPending, kind]) =>
          place(owner(run, own), owner(run, peer), isPending ? 'in' : 'out', isPending, kind === 0),
        ),
      })
      await append(driver.log, record)
    }
  })
const clears = fc.tuple(name, offset, fc.nat(99)).map(
  ([own, at, takenAtMs]): Step =>
    async (driver, run) => {
      // Nobody takes what has not come yet.
      if (!run.free.includes(run.firstId + at)) driver.log.clearPending(owner(run, own), run.firstId + at, takenAtMs)
    },
)
const filters = fc.record({
  after: optional(offset),
  before: optional(offset),
  fromMs: optional(fc.nat(20)),
  untilMs: optional(fc.nat(20)),
  peer: optional(name),
  direction: optional(fc.constantFrom('in', 'out')),
  isText: optional(fc.boolean()),
  isTransient: optional(fc.boolean()),
})
const looks = fc
  .tuple(
    name,
    filters,
    fc.boolean(),
    fc.integer({ min: 1, max: 9 }),
    fc.constantFrom('range', 'count', 'search', 'conversations', 'unread'),
    fc.constantFrom('thou', 'w T', 'ART thou', 'är', '京', '"*', 'x OR thou'),
  )
  .map(
    ([own, { after, before, peer, ...rest }, backwards, limit, what, words]): Step =>
      (driver, run) => {
        const query: LogQuery = {
          ...JSON.parse(JSON.stringify(rest)),
          limit,
          backwards,
          ...(after === undefined ? {} : { after: run.firstId + after }),
          ...(before === undefined ? {} : { before: run.firstId + before }),
          ...(peer === undefined ? {} : { peer: owner(run, peer) }),
        }
        const whose = owner(run, own)
        switch (what) {
          case 'range':
            return driver.log.range(whose, query)
          case 'count':
            return driver.log.count(whose, query)
          case 'search':
            return driver.log.search(whose, words, query)
          case 'unread':
            return driver.log.unread(
              whose,
              NAMES.map((each) => ({ peer: owner(run, each), after: (each === peer ? query.after : query.before) ?? 0 })),
            )
          default:
            return driver.log.conversations(whose, { limit, ...(query.before === undefined ? {} : { before: query.before }) })
        }
      },
  )
const replaces = fc.tuple(name, offset, texts).map(
  ([own, at, text]): Step =>
    (driver, run) =>
      driver.log.replace(owner(run, own), run.firstId + at, stanzaOf(text)),
)
const pendings = fc.tuple(name, offset, fc.integer({ min: 1, max: 9 })).map(
  ([own, after, limit]): Step =>
    async (driver, run) => [
      await driver.log.pending(owner(run, own), { after: run.firstId + after, limit }),
      await driver.log.countPending(owner(run, own)),
      await driver.log.get(owner(run, own), run.firstId + after),
    ],
)
const removes = fc.oneof(
  fc.tuple(name, fc.array(offset, { maxLength: 4 })).map(
    ([own, ats]): Step =>
      (driver, run) =>
        driver.log.delete(
          owner(run, own),
          ats.map((at) => run.firstId + at),
        ),
  ),
  fc.tuple(name, fc.nat(20), fc.nat(5)).map(
    ([own, ms, limit]): Step =>
      (driver, run) =>
        driver.log.expire(owner(run, own), ms, limit),
  ),
  name.map(
    (own): Step =>
      (driver, run) =>
        driver.log.deleteOwner(owner(run, own)),
  ),
)
const documentSteps = fc.tuple(name, name, fc.constantFrom('put', 'delete', 'get', 'list', 'owner', 'all', 'if'), fc.nat()).map(
  ([own, key, action, value]): Step =>
    async (driver, run) => {
      const store = driver.documents<number>('agreement/numbers')
      const whose = owner(run, own)
      switch (action) {
        case 'put':
          return store.put(whose, key, value)
        case 'delete':
          return store.delete(whose, key)
        case 'get':
          return store.get(whose, key)
        case 'list':
          return (await store.list(whose, { after: key })).map((document) => [document.key, document.value])
        case 'owner':
          return store.deleteOwner(whose)
        case 'all':
          return store.putAll(whose, [
            { key, value },
            { key: 'other', value: undefined },
          ])
        default:
          return store.putIf(whose, key, value, (await store.getRevised(whose, value % 2 === 0 ? key : 'other'))?.revision)
      }
    },
)
let [lastId, runs] = [0, 0]
const nextId = ({ free }: Run, which: string): number => {
  const passedOver = which === 'late' ? free.pop() : which === 'earliest' ? free.shift() : undefined
  if (passedOver !== undefined) return passedOver
  for (lastId += 1; which === 'over' && lastId % 3 !== 0; lastId += 1) free.push(lastId)
  return lastId
}

/** A driver that is closed and opened again in the middle of things; `crashes` asks for what a crash would have left. */
export interface Reopened {
  readonly driver: Driver
  reopen(crashes: boolean): Promise<void>
}

/** Does whatever comes to mind to a driver and to memory, and compares what both say. */
export const tellTheSameStory = async (
  subject: Reopened,
  options: { readonly numRuns: number; readonly seed: number },
): Promise<void> => {
  const memory = new MemoryDriver({ nowMs: () => 0 })
  const reopens = fc.boolean().map(
    (crashes): Step =>
      async (driver) => {
        if (driver !== memory) await subject.reopen(crashes)
      },
  )
  const history = fc.array(
    fc.oneof(
      { arbitrary: appends, weight: 12 },
      { arbitrary: clears, weight: 5 },
      { arbitrary: looks, weight: 8 },
      { arbitrary: replaces, weight: 1 },
      { arbitrary: pendings, weight: 4 },
      { arbitrary: removes, weight: 2 },
      { arbitrary: documentSteps, weight: 4 },
      { arbitrary: reopens, weight: 1 },
    ),
    { minLength: 5, maxLength: 60 },
  )
  const property = fc.asyncProperty(history, async (steps) => {
    runs += 1
    const run: Run = { number: runs, firstId: lastId + 1, free: [] }
    for (const step of steps) {
      const expected = await step(memory, run)
      expect(await step(subject.driver, run)).toEqual(expected)
    }
    for (const each of NAMES) {
      const everything = await memory.log.range(owner(run, each), { limit: 999 })
      expect(await subject.driver.log.range(owner(run, each), { limit: 999 })).toEqual(everything)
      expect(await subject.driver.log.countPending(owner(run, each))).toBe(everything.filter(({ isPending }) => isPending).length)
    }
  })
  await fc.assert(property, options)
}
