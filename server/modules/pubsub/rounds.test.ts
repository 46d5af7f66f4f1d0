import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { engineOn, hostProfile, noteElement } from '#server/testing/pubsub-engine.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { Documents } from '#storage/shapes.ts'
import { StorageError } from '#storage/storage-error.ts'
import type { NodeConfig } from './node-config.ts'
import type { Stored } from './stored.ts'

const juliet = hostProfile('juliet@verona.example')
const owner = juliet.address.bare
const draft = (id: string) => ({ id, payload: noteElement(id) })

/** An engine with a node `n`, everything that listeners heard of it, and how often something was written. */
const setUp = async (config: Partial<NodeConfig>) => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  const documents = driver.documents<Stored>('nodes')
  const writes = { count: 0 }
  const counted: Documents<Stored> = {
    ...documents,
    putAll: (of, changes) => {
      writes.count++
      return documents.putAll(of, changes)
    },
  }
  const engine = engineOn(counted, clock)
  await engine.api.createNode(juliet, 'n', config)
  const told: string[] = []
  engine.api.observe('n', (event) => {
    if (event.kind === 'published') told.push(event.items.map(({ id }) => `+${id}`).join(''))
    if (event.kind === 'retracted') told.push(event.itemIds.map((id) => `-${id}`).join(''))
  })
  writes.count = 0
  const ids = async (of = engine) => (await of.api.items(owner, 'n')).map(({ id }) => id)
  return { clock, driver, documents, engine, told, writes, ids }
}
type Stage = Awaited<ReturnType<typeof setUp>>

const outcomesOf = async (requests: readonly Promise<unknown>[]): Promise<readonly string[]> =>
  (await Promise.allSettled(requests)).map((each) => (each.status === 'fulfilled' ? 'done' : String(each.reason)))

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const request = fc.oneof(
  { weight: 6, arbitrary: fc.uniqueArray(ids, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.record({ retract: ids }) },
)
type Request = readonly string[] | { readonly retract: string }

const does = ({ engine }: Stage, what: Request): Promise<unknown> =>
  'retract' in what ? engine.api.retract(juliet, 'n', [what.retract]) : engine.api.publish(juliet, 'n', what.map(draft))

test('what is published at once leaves, refuses and tells what it would one after the other', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 12 }),
      fc.record({
        maxItems: fc.integer({ min: 1, max: 4 }),
        whenFull: fc.constantFrom('reject' as const, 'retract-oldest' as const),
        persistItems: fc.boolean(),
      }),
      fc.boolean(),
      async (requests, config, isGuarded) => {
        const stages = [await setUp(config), await setUp(config)] as const
        const [together, single] = stages
        for (const { engine, clock } of stages) {
          if (isGuarded) engine.api.guard('n', ({ drafts }) => drafts)
          await outcomesOf([engine.api.publish(juliet, 'n', [draft('a')]), engine.api.publish(juliet, 'n', [draft('b')])])
          clock.advance('1s')
        }
        const outcomes = await outcomesOf(requests.map((each) => does(together, each)))
        const expected: string[] = []
        for (const each of requests) expected.push(...(await outcomesOf([does(single, each)])))
        expect(outcomes).toEqual(expected)
        expect(together.told).toEqual(single.told)
        expect(await together.ids()).toEqual(await single.ids())
        const withoutRevisions = async ({ documents }: Stage) =>
          (await documents.list(owner)).map(({ key, value }) => ({ key, value }))
        expect(await withoutRevisions(together)).toEqual(await withoutRevisions(single))
      },
    ),
    { numRuns: 150 },
  )
})

test('what waits one behind the other is one write, and is answered in order', async () => {
  const { engine, told, writes, ids, documents } = await setUp({ maxItems: 2 })
  const answered: string[] = []
  const requests = ['a', 'b', 'a', 'c'].map((id) => engine.api.publish(juliet, 'n', [draft(id)]).then(() => answered.push(id)))
  await Promise.all(requests)
  expect(writes.count).toBe(1)
  expect(answered).toEqual(['a', 'b', 'a', 'c'])
  expect(told).toEqual(['+a', '+b', '+a', '-b', '+c'])
  expect(await ids()).toEqual(['a', 'c'])
  // An item that came and went meanwhile is nowhere.
  expect((await documents.list(owner)).filter(({ value }) => value.kind === 'item')).toHaveLength(2)
})

test('one that is refused costs the others nothing, and is answered in its turn', async () => {
  const { engine, writes, ids } = await setUp({ maxItems: 2, whenFull: 'reject' })
  const answered: string[] = []
  const requests = ['a', 'b', 'c', 'b'].map((id) =>
    engine.api.publish(juliet, 'n', [draft(id)]).then(
      () => answered.push(id),
      (error: Error) => answered.push(error.message),
    ),
  )
  await Promise.all(requests)
  expect(answered).toEqual(['a', 'b', 'conflict', 'b'])
  expect([await ids(), writes.count]).toEqual([['a', 'b'], 1])
})

test('when they cannot be written, none of them is there, and each is told so', async () => {
  const { engine, driver, documents, clock, told, ids } = await setUp({ maxItems: 3 })
  await engine.api.publish(juliet, 'n', [draft('z')])
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  const outcomes = await outcomesOf(['a', 'b', 'c'].map((id) => engine.api.publish(juliet, 'n', [draft(id)])))
  expect(outcomes).toEqual(Array.from({ length: 3 }, () => 'StorageError: the disk is full'))
  expect(told).toEqual(['+z'])
  for (const each of [engine, engineOn(documents, clock)]) expect(await ids(each)).toEqual(['z'])
  await engine.api.publish(juliet, 'n', [draft('a')])
  expect(await ids()).toEqual(['z', 'a'])
})

test('who guards a node sees everything that was published before', async () => {
  const { engine, ids } = await setUp({ maxItems: 5 })
  const seen: (readonly string[])[] = []
  engine.api.guard('n', async ({ drafts }) => {
    seen.push(await ids())
    return drafts
  })
  await Promise.all(['a', 'b', 'c'].map((id) => engine.api.publish(juliet, 'n', [draft(id)])))
  expect(seen).toEqual([[], ['a'], ['a', 'b']])
})
