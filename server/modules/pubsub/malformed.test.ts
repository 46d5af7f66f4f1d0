import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { addressed, engineOn, hostProfile, noteElement, requestOf } from '#server/testing/pubsub-engine.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_DATA_FORMS, NS_PUBSUB, NS_PUBSUB_OWNER } from '#stanzas/namespaces.ts'
import { NS_RSM } from '#stanzas/rsm.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { Stored } from './stored.ts'

const juliet = addressed('juliet@verona.example/balcony')
const romeo = addressed('romeo@verona.example/orchard')
const FIELDS = [
  'node_type',
  'title',
  'access_model',
  'publish_model',
  'persist_items',
  'max_items',
  'item_expire',
  'max_payload_size',
  'send_last_published_item',
  'collection',
  'children',
  'children_max',
  'deliver',
  'expire',
  'subscription_type',
  'subscription_depth',
  'roster_groups_allowed',
  'purge_offline',
  'unheard_of',
].map((name) => `pubsub#${name}`)
const VALUES = [
  '',
  '0',
  '1',
  'true',
  'max',
  '-1',
  '5',
  '99999999999999999999',
  'open',
  'whitelist',
  'leaf',
  'collection',
  'n',
  '2030-01-01T00:00:00Z',
  'x'.repeat(2_000),
]

const value = fc.oneof(fc.constantFrom(...VALUES), fc.string())
const field = fc
  .tuple(fc.oneof(fc.constantFrom('FORM_TYPE', ...FIELDS), fc.string()), fc.array(value, { maxLength: 3 }))
  .map(([name, values]) =>
    el(NS_DATA_FORMS, 'field', { var: name }, ...values.map((each) => el(NS_DATA_FORMS, 'value', {}, each))),
  )
const form = fc
  .tuple(
    fc.constantFrom('submit', 'submit', 'submit', 'cancel', 'form', undefined),
    fc.constantFrom('node_config', 'publish-options', 'subscribe_options', undefined),
    fc.array(field, { maxLength: 4 }),
  )
  .map(([type, formType, fields]) =>
    el(
      NS_DATA_FORMS,
      'x',
      { type },
      formType &&
        el(
          NS_DATA_FORMS,
          'field',
          { var: 'FORM_TYPE', type: 'hidden' },
          el(NS_DATA_FORMS, 'value', {}, `${NS_PUBSUB}#${formType}`),
        ),
      ...fields,
    ),
  )
const attributes = fc.record(
  {
    node: fc.constantFrom('n', 'n', 'shelf', 'other', '', 'n'.repeat(10_240)),
    jid: fc.constantFrom(juliet.jid, romeo.jid, romeo.bare, '@', ''),
    id: fc.constantFrom('1', '2', '', 'i'.repeat(10_240)),
    max_items: fc.constantFrom('1', '0', '-1', 'x', '999999999999'),
    affiliation: fc.constantFrom('owner', 'none', 'outcast', 'king'),
    subscription: fc.constantFrom('subscribed', 'none', 'pending', 'other'),
    notify: fc.constantFrom('1', 'maybe'),
    type: fc.constantFrom('leaf', 'tree'),
  },
  { requiredKeys: [] },
)
const rsm = fc
  .tuple(fc.constantFrom('max', 'after', 'before', 'index'), fc.constantFrom('', '0', '1', '-1', 'x', '2147483648'))
  .map(([name, text]) => el(NS_RSM, 'set', {}, el(NS_RSM, name, {}, text)))
const NAMES = [
  'create',
  'configure',
  'publish',
  'publish-options',
  'item',
  'items',
  'retract',
  'subscribe',
  'unsubscribe',
  'options',
  'subscriptions',
  'subscription',
  'affiliations',
  'affiliation',
  'default',
  'delete',
  'purge',
  'redirect',
  'collection',
  'associate',
  'dissociate',
  'anything',
]
const tree = (ns: string): fc.Arbitrary<Element> =>
  fc.letrec<{ element: Element }>((tie) => ({
    element: fc
      .tuple(
        fc.constantFrom(...NAMES),
        attributes,
        fc.array(fc.oneof({ maxDepth: 2 }, form, rsm, fc.constant(noteElement('x')), tie('element')), { maxLength: 2 }),
      )
      .map(([name, attrs, children]) => el(ns, name, attrs, ...children)),
  })).element
/** Nearly what the section says. */
const likely = (by: Address): fc.Arbitrary<readonly ['get' | 'set', string, readonly Element[]]> =>
  fc.tuple(attributes, form, fc.constantFrom('n', 'n', 'n', 'shelf', 'other')).chain(([attrs, x, node]) => {
    const of = (ns: string, name: string, ...children: readonly Element[]) => el(ns, name, { ...attrs, node }, ...children)
    const item = el(NS_PUBSUB, 'item', { id: attrs.id }, noteElement('x'))
    return fc.constantFrom(
      ['set', NS_PUBSUB, [of(NS_PUBSUB, 'publish', item), el(NS_PUBSUB, 'publish-options', {}, x)]] as const,
      ['set', NS_PUBSUB, [of(NS_PUBSUB, 'publish', item)]] as const,
      ['set', NS_PUBSUB, [of(NS_PUBSUB, 'retract', item)]] as const,
      ['set', NS_PUBSUB, [of(NS_PUBSUB, 'create'), el(NS_PUBSUB, 'configure', {}, x)]] as const,
      ['set', NS_PUBSUB, [el(NS_PUBSUB, 'subscribe', { node, jid: by.jid }), el(NS_PUBSUB, 'options', {}, x)]] as const,
      ['set', NS_PUBSUB, [el(NS_PUBSUB, 'subscribe', { node, jid: by.jid })]] as const,
      ['set', NS_PUBSUB, [el(NS_PUBSUB, 'options', { node, jid: by.jid }, x)]] as const,
      ['get', NS_PUBSUB, [of(NS_PUBSUB, 'items', item)]] as const,
      ['get', NS_PUBSUB, [of(NS_PUBSUB, 'items')]] as const,
      ['get', NS_PUBSUB_OWNER, [of(NS_PUBSUB_OWNER, 'configure')]] as const,
      ['set', NS_PUBSUB_OWNER, [of(NS_PUBSUB_OWNER, 'configure', x)]] as const,
      ['set', NS_PUBSUB_OWNER, [of(NS_PUBSUB_OWNER, 'affiliations', el(NS_PUBSUB_OWNER, 'affiliation', attrs))]] as const,
      ['set', NS_PUBSUB_OWNER, [of(NS_PUBSUB_OWNER, 'subscriptions', el(NS_PUBSUB_OWNER, 'subscription', attrs))]] as const,
      ['set', NS_PUBSUB_OWNER, [el(NS_PUBSUB_OWNER, 'collection', { node: 'shelf' }, of(NS_PUBSUB_OWNER, 'associate'))]] as const,
    )
  })
const wild = fc
  .tuple(fc.constantFrom('get' as const, 'set' as const), fc.constantFrom(NS_PUBSUB, NS_PUBSUB_OWNER))
  .chain(([type, ns]) => fc.tuple(fc.constant(type), fc.constant(ns), fc.array(fc.oneof(tree(ns), form, rsm), { maxLength: 3 })))
const request = fc
  .constantFrom(juliet, juliet, romeo)
  .chain((by) =>
    fc.oneof(wild, likely(by)).map(([type, ns, children]) => ({ by, type, payload: el(ns, 'pubsub', {}, ...children) })),
  )

test('XEP-0060 §11: whatever is asked is answered or refused, and what is refused changes nothing', async () => {
  let answered = 0
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
      const clock = new FakeClock()
      const documents = new MemoryDriver({ nowMs: () => clock.nowMs() }).documents<Stored>('nodes')
      const { api, failures } = engineOn(documents, clock)
      const profile = hostProfile('juliet@verona.example')
      const owner = profile.address.bare
      await api.publish(profile, 'n', [{ id: '1', payload: noteElement('1') }])
      await api.createNode(profile, 'shelf', { nodeType: 'collection' })
      const state = async () => JSON.stringify((await documents.list(owner)).map(({ key, value: kept }) => [key, kept]))
      for (const { type, by, payload } of requests) {
        const before = await state()
        try {
          await api.handle(profile, requestOf(type, payload, by, profile.address))
          answered++
          if (type === 'get') expect(await state()).toBe(before)
        } catch (error) {
          expect(error).toBeInstanceOf(StanzaError)
          expect(await state()).toBe(before)
        }
      }
      // What is stored makes sense to an engine that reads it for the first time.
      const again = engineOn(documents, clock)
      const facts = await again.api.nodes(owner)
      for (const each of facts) expect(await api.node(owner, each.name)).toEqual(each)
      expect(await api.nodes(owner)).toHaveLength(facts.length)
      for (const { name } of facts) expect(await again.api.items(owner, name)).toEqual(await api.items(owner, name))
      expect(failures).toEqual([])
    }),
    { numRuns: 300 },
  )
  expect(answered).toBeGreaterThan(200)
})
