import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PubsubEvent } from '#server/modules/pubsub.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { addressed, engineOn, hostProfile, noteElement, requestOf } from '#server/testing/pubsub-engine.ts'
import { el } from '#stanzas/element.ts'
import { NS_PUBSUB } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { StorageError } from '#storage/storage-error.ts'
import { refusal } from './errors.ts'
import type { Stored } from './stored.ts'

const setUp = () => {
  const clock = new FakeClock()
  const driver = new MemoryDriver({ nowMs: () => clock.nowMs() })
  return { clock, driver, documents: driver.documents<Stored>('nodes') }
}
const juliet = hostProfile('juliet@verona.example')
const owner = juliet.address.bare
const idsOf = async (engine: ReturnType<typeof engineOn>, node = 'n', which = {}) =>
  (await engine.api.items(owner, node, which)).map(({ id }) => id)
const draft = (id: string) => ({ id, payload: noteElement(id) })

test('XEP-0060 §7.1.4: a node that publishing makes is there with its item, or not at all', async () => {
  const { clock, driver, documents } = setUp()
  const engine = engineOn(documents, clock)
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await expect(engine.api.publish(juliet, 'n', [draft('1')], { config: { accessModel: 'whitelist' } })).rejects.toThrow(
    StorageError,
  )
  expect(await engine.api.node(owner, 'n')).toBeUndefined()
  expect(await documents.list(owner)).toEqual([])

  await engine.api.publish(juliet, 'n', [draft('1')], { config: { accessModel: 'whitelist' } })
  expect((await engine.api.node(owner, 'n'))?.config.accessModel).toBe('whitelist')
  // §7.1.5
  await expect(engine.api.publish(juliet, 'n', [draft('2')], { config: { accessModel: 'open' } })).rejects.toThrow(
    refusal('conflict', 'precondition-not-met'),
  )
  expect(await idsOf(engine)).toEqual(['1'])
  expect(await idsOf(engineOn(documents, clock))).toEqual(['1'])
})

test('XEP-0060 §7.1.2.5: a publication that fails evicts nothing', async () => {
  const { clock, driver, documents } = setUp()
  const engine = engineOn(documents, clock)
  await engine.api.publish(juliet, 'n', [draft('1')], { config: { maxItems: 1 } })
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await expect(engine.api.publish(juliet, 'n', [draft('2')])).rejects.toThrow(StorageError)
  expect(await idsOf(engine)).toEqual(['1'])
  await engine.api.publish(juliet, 'n', [draft('3')])
  expect(await idsOf(engineOn(documents, clock))).toEqual(['3'])
})

test('modules hear what happened, in order, and after it is durable', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  const told: string[] = []
  const note = (event: PubsubEvent): void => {
    const what = event.kind === 'published' ? event.items.map(({ id }) => id) : event.kind === 'retracted' ? event.itemIds : []
    told.push(`${event.node.name} ${event.kind} ${what.join()}`.trim())
  }
  engine.api.observe('n', note)
  engine.api.observe(undefined, (event) => {
    if (event.kind === 'purged') throw new Error('a listener that fails')
  })
  await engine.api.publish(juliet, 'n', [draft('1'), draft('2')], { config: { maxItems: 2 } })
  await engine.api.publish(juliet, 'other', [draft('1')])
  await engine.api.publish(juliet, 'n', [draft('3')])
  await engine.api.retract(juliet, 'n', ['2', 'unknown'])
  await engine.api.configure(juliet, 'n', { title: 'New' })
  await engine.api.purge(juliet, 'n')
  await engine.api.deleteNode(juliet, 'n')
  expect(told).toEqual([
    'n created',
    'n published 1,2',
    'n retracted 1',
    'n published 3',
    'n retracted 2',
    'n configured',
    'n purged',
    'n deleted',
  ])
  expect(engine.failures).toEqual([new Error('a listener that fails')])
})

test('a listener may publish to the node it hears of', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  const done = new Promise<void>((resolve, reject) =>
    engine.api.observe('n', async (event) => {
      if (event.kind !== 'published' || event.items[0]?.id !== '1') return
      await engine.api.publish(juliet, 'n', [draft('2')]).then(() => resolve(), reject)
    }),
  )
  await engine.api.publish(juliet, 'n', [draft('1')])
  await done
  expect(await idsOf(engine)).toEqual(['1', '2'])
})

test('a guard refuses items of its nodes, or publishes others', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  engine.api.guard('n', ({ drafts }) => {
    if (drafts.some(({ id }) => id === 'bad')) throw new StanzaError('not-acceptable')
    return drafts.map(({ id }) => ({ id, payload: noteElement(`seen ${id}`) }))
  })
  await expect(engine.api.publish(juliet, 'n', [draft('bad')])).rejects.toThrow(new StanzaError('not-acceptable'))
  expect(await engine.api.node(owner, 'n')).toBeUndefined()
  await engine.api.publish(juliet, 'n', [draft('good')])
  expect((await engine.api.items(owner, 'n'))[0]?.payload?.text()).toBe('seen good')
  await engine.api.publish(juliet, 'other', [draft('bad')])
})

test('XEP-0163 §4.3: those who are interested are told once, if they may read', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  const romeo = addressed('romeo@verona.example/orchard')
  const tybalt = addressed('tybalt@verona.example/square')
  const profile = hostProfile('juliet@verona.example', () => [romeo, tybalt, romeo])
  const heard = () => engine.sent.splice(0).map(({ to }) => to?.jid)
  await engine.api.publish(profile, 'n', [draft('1')])
  expect(heard()).toEqual([romeo.jid, tybalt.jid])
  await engine.api.configure(profile, 'n', { accessModel: 'whitelist' })
  await engine.api.publish(profile, 'n', [draft('2')])
  expect(heard()).toEqual([])
  await engine.api.sendLast(profile, (await engine.api.nodes(owner))[0] ?? expect.fail(), romeo)
  expect(heard()).toEqual([])
  await engine.api.configure(profile, 'n', { accessModel: 'open' })
  await engine.api.sendLast(profile, (await engine.api.nodes(owner))[0] ?? expect.fail(), romeo)
  expect(heard()).toEqual([romeo.jid])
})

test('an item that is published anew while it is read is read, old or new', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  await engine.api.publish(juliet, 'n', [draft('1')])
  for (let turns = 0; turns < 30; turns++) {
    await engine.api.publish(juliet, 'n', [draft('2')])
    const publishing = engine.api.publish(juliet, 'n', [draft('1')])
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    expect(await idsOf(engine, 'n', { ids: ['1'] })).toEqual(['1'])
    await publishing
  }
})

test('everything of an owner goes, and what is under way does not bring it back', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  await engine.api.publish(juliet, 'n', [draft('1')])
  const late = engine.api.publish(juliet, 'n', [draft('2')])
  await Promise.all([engine.api.deleteOwner(owner), late.catch(() => undefined)])
  expect(await documents.list(owner)).toEqual([])
  expect(await engine.api.nodes(owner)).toEqual([])
  await engine.api.publish(juliet, 'n', [draft('3')])
  expect(await idsOf(engine)).toEqual(['3'])
})

test('an owner has so many nodes, however many are asked for at once', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  const made = await Promise.allSettled(Array.from({ length: 9 }, (_, i) => engine.api.createNode(juliet, `n${i}`)))
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
  expect(await engine.api.nodes(owner)).toHaveLength(5)
})

test('a storm on one node is refused at its limit, and holds no other node up', async () => {
  const { clock, documents } = setUp()
  const engine = engineOn(documents, clock)
  await engine.api.publish(juliet, 'n', [draft('0')])
  const storm = Array.from({ length: 300 }, (_, i) => engine.api.publish(juliet, 'n', [draft(String(i % 5))]))
  let isOver = false
  const settled = Promise.allSettled(storm).then((results) => {
    isOver = true
    return results
  })
  await engine.api.publish(juliet, 'other', [draft('1')])
  expect(isOver).toBe(false)
  const refused = (await settled).filter((each) => each.status === 'rejected').map(({ reason }) => reason as unknown)
  expect(refused).toHaveLength(300 - 256)
  expect(refused[0]).toEqual(new StanzaError('resource-constraint'))
})

/** What a node holds, by the rules of XEP-0060 §7.1.2.5 and §12.9. */
type Model = { id: string; atMs: number }[]
type Step =
  | { readonly do: 'publish'; readonly ids: readonly string[] }
  | { readonly do: 'retract'; readonly id: string }
  | { readonly do: 'keep'; readonly max: number }
  | { readonly do: 'wait' | 'purge' | 'restart' | 'fail' }

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('publish' as const), ids: fc.uniqueArray(ids, { minLength: 1, maxLength: 2 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retract' as const), id: ids }) },
  fc.record({ do: fc.constant('keep' as const), max: fc.integer({ min: 2, max: 8 }) }),
  fc.record({ do: fc.constantFrom('wait' as const, 'purge' as const, 'restart' as const, 'fail' as const) }),
)

test('any history of publications, retractions, failures and restarts leaves what the rules say', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (history) => {
      const { clock, driver, documents } = setUp()
      // So little memory that nodes are read again all the time.
      const begin = () => engineOn(documents, clock, { nodes: 1, entries: 1 })
      let engine = begin()
      await engine.api.createNode(juliet, 'n', { itemExpire: 60, maxItems: 4 })
      let room = 4
      let model: Model = []
      for (const each of history) {
        model = model.filter(({ atMs }) => atMs + 60_000 > clock.nowMs())
        switch (each.do) {
          case 'publish':
            await engine.api.publish(juliet, 'n', each.ids.map(draft))
            model = [
              ...model.filter(({ id }) => !each.ids.includes(id)),
              ...each.ids.map((id) => ({ id, atMs: clock.nowMs() })),
            ].slice(-room)
            break
          case 'retract':
            await engine.api.retract(juliet, 'n', [each.id])
            model = model.filter(({ id }) => id !== each.id)
            break
          case 'keep':
            room = each.max
            await engine.api.configure(juliet, 'n', { maxItems: room })
            model = model.slice(-room)
            break
          case 'wait':
            clock.advance('25s')
            model = model.filter(({ atMs }) => atMs + 60_000 > clock.nowMs())
            break
          case 'purge':
            await engine.api.purge(juliet, 'n')
            model = []
            break
          case 'restart':
            engine = begin()
            break
          case 'fail':
            driver.failNext(new StorageError('the disk is full', { isTransient: true }))
            await expect(engine.api.publish(juliet, 'n', [draft('a')])).rejects.toThrow(StorageError)
        }
        expect(await idsOf(engine)).toEqual(model.map(({ id }) => id))
        expect(await idsOf(engine, 'n', { max: 2 })).toEqual(model.map(({ id }) => id).slice(-2))
      }
    }),
    { numRuns: 60 },
  )
})

test('XEP-0163 §7.1: one node that cannot be written does not keep the others open', async () => {
  const { clock, driver, documents } = setUp()
  const engine = engineOn(documents, clock)
  const romeo = addressed('romeo@verona.example')
  for (const node of ['a', 'b', 'c']) {
    await engine.api.createNode(juliet, node, { accessModel: 'open' })
    const request = el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'subscribe', { node, jid: romeo.jid }))
    await engine.api.handle(juliet, requestOf('set', request, romeo, juliet.address))
    await engine.api.configure(juliet, node, { accessModel: 'whitelist' })
  }
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await engine.api.endUnentitled(juliet, romeo.bare)
  expect(engine.failures).toHaveLength(1)
  const request = el(NS_PUBSUB, 'pubsub', {}, el(NS_PUBSUB, 'subscriptions'))
  const answer = await engine.api.handle(juliet, requestOf('get', request, romeo, juliet.address))
  expect(answer?.getChild('subscriptions')?.getChildren()).toHaveLength(1)
})

test('nothing of a deleted owner comes back while it is being deleted', async () => {
  const { clock, documents } = setUp()
  let finish = (): void => undefined
  const isTime = new Promise<void>((resolve) => {
    finish = resolve
  })
  const slow = { ...documents, deleteOwner: (of: string) => isTime.then(() => documents.deleteOwner(of)) }
  const engine = engineOn(slow, clock)
  await engine.api.publish(juliet, 'n', [draft('1')])
  const deleted = engine.api.deleteOwner(owner)
  const seen = Promise.resolve().then(() => engine.api.nodes(owner))
  finish()
  await deleted
  expect(await seen).toEqual([])
  expect(await engine.api.nodes(owner)).toEqual([])
})
