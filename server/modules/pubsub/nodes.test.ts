import { expect } from 'vitest'
import { presence } from '#server/modules/presence.ts'
import { pubsub } from '#server/modules/pubsub.ts'
import { any, conversation } from '#server/testing/conversation.ts'
import {
  answer,
  ask,
  config,
  creates,
  event,
  fieldValues,
  form,
  item,
  own,
  ownAnswer,
  publishes,
  refused,
  subscribes,
} from '#server/testing/pubsub-stanzas.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { refusal, unsupported } from './errors.ts'

const options = { modules: [presence, pubsub], carriers: ['memory'] as const }
const settings = { ...options, config: { modules: { pubsub: { maxNodes: 3, maxItems: 20, maxPayload: '1 KiB' } } } }

conversation(
  'XEP-0060 §8.1.2, §8.1.1: a node is made once, by whoever asks first',
  { modules: [presence, pubsub] },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await juliet.sends(ask('set', 'c1', '<create node="sonnets"/>'))
    await juliet.receives(answer('c1', juliet, '<create node="sonnets"/>'))
    await romeo.sends(ask('set', 'c2', '<create node="sonnets"/>'))
    await romeo.receives(refused('c2', romeo, new StanzaError('conflict')))
  },
)

conversation('XEP-0060 §8.1.1: an instant node is given a name', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask('set', 'c1', '<create/>'))
  await juliet.receives(answer('c1', juliet, `<create node="${any}"/>`))
  await juliet.sends(ask('set', 'c2', '<create node=""/><configure/>'))
  await juliet.receives(answer('c2', juliet, `<create node="${any}"/>`))
})

conversation('XEP-0060 §4.6.1: a name of 10 KB, or over the limit of nodes, is refused', settings, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask('set', 'c1', `<create node="${'n'.repeat(10_240)}"/>`))
  await juliet.receives(refused('c1', juliet, new StanzaError('not-acceptable', { text: 'a node name has 1 to 1023 bytes' })))
  for (const name of ['a', 'b', 'c']) await creates(juliet, name)
  await juliet.sends(ask('set', 'c2', '<create node="d"/>'))
  await juliet.receives(refused('c2', juliet, refusal('conflict', 'max-nodes-exceeded')))
})

conversation(
  'XEP-0060 §8.1.1: where only administrators make nodes, others may not',
  { ...options, config: { admins: ['escalus@verona.example'], modules: { pubsub: { creators: 'admins' } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask('set', 'c1', '<create node="sonnets"/>'))
    await juliet.receives(refused('c1', juliet, new StanzaError('forbidden')))
    const escalus = await connect('escalus@verona.example/palace')
    await creates(escalus, 'decrees')
  },
)

conversation('XEP-0060 §8.1.3: a node is made and configured at once, or not at all', settings, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const refuses = async (id: string, fields: Readonly<Record<string, string>>, error: StanzaError) => {
    await juliet.sends(ask('set', id, `<create node="sonnets"/><configure>${config(fields)}</configure>`))
    await juliet.receives(refused(id, juliet, error))
  }
  await refuses('c1', { access_model: 'secret' }, refusal('not-acceptable', 'unsupported-access-model'))
  await refuses(
    'c2',
    { persist_items: 'maybe' },
    new StanzaError('not-acceptable', { text: 'pubsub#persist_items cannot be what it should be' }),
  )
  await refuses('c3', { max_items: '21' }, new StanzaError('not-acceptable', { text: 'at most 20 items are kept' }))
  await refuses(
    'c4',
    { max_payload_size: '1025' },
    new StanzaError('not-acceptable', { text: 'a payload has at most 1024 bytes' }),
  )
  await refuses(
    'c5',
    { purge_offline: 'true' },
    new StanzaError('not-acceptable', { text: 'pubsub#purge_offline cannot be what it should be' }),
  )
  // §8.1.3: it follows, and names no node.
  await juliet.sends(ask('set', 'c6', `<create node="sonnets"/><configure node="sonnets">${config({})}</configure>`))
  await juliet.receives(refused('c6', juliet, new StanzaError('bad-request')))
  await juliet.sends(ask('set', 'c7', '<create node="sonnets"/><configure><x xmlns="jabber:x:data" type="form"/></configure>'))
  await juliet.receives(refused('c7', juliet, new StanzaError('bad-request')))
  await creates(juliet, 'sonnets', { access_model: 'whitelist', purge_offline: '0', 'x-unheard-of': 'yes' })
})

conversation('XEP-0060 §8.2: an owner reads the configuration and changes it', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { title: 'Sonnets', type: 'urn:example:note' })
  await juliet.sends(own('get', 'g1', '<configure node="sonnets"/>'))
  const before = await juliet.next()
  expect([fieldValues(before, 'title'), fieldValues(before, 'type'), fieldValues(before, 'children')]).toEqual([
    ['Sonnets'],
    ['urn:example:note'],
    [],
  ])
  await juliet.sends(
    own('set', 's1', `<configure node="sonnets">${config({ title: 'Odes', notify_config: '1', max_items: '5' })}</configure>`),
  )
  await juliet.receives(answer('s1', juliet))
  await juliet.sends(own('get', 'g2', '<configure node="sonnets"/>'))
  const after = await juliet.next()
  expect([fieldValues(after, 'title'), fieldValues(after, 'max_items'), fieldValues(after, 'type')]).toEqual([
    ['Odes'],
    ['5'],
    ['urn:example:note'],
  ])
  // §8.2.4: a form that is cancelled changes nothing.
  await juliet.sends(own('set', 's2', '<configure node="sonnets"><x xmlns="jabber:x:data" type="cancel"/></configure>'))
  await juliet.receives(answer('s2', juliet))

  // §8.2.3
  await romeo.sends(own('get', 'g3', '<configure node="sonnets"/>'))
  await romeo.receives(refused('g3', romeo, new StanzaError('forbidden')))
  await romeo.sends(own('set', 's3', `<configure node="sonnets">${config({ title: 'Mine' })}</configure>`))
  await romeo.receives(refused('s3', romeo, new StanzaError('forbidden')))
  await juliet.sends(own('get', 'g4', '<configure/>'))
  await juliet.receives(refused('g4', juliet, refusal('bad-request', 'nodeid-required')))
  await juliet.sends(own('get', 'g5', '<configure node="odes"/>'))
  await juliet.receives(refused('g5', juliet, new StanzaError('item-not-found')))
  await juliet.sends(own('set', 's4', `<configure node="sonnets">${form('publish-options', { title: 'x' })}</configure>`))
  await juliet.receives(refused('s4', juliet, new StanzaError('bad-request')))
})

conversation('XEP-0060 §8.2.5.3: subscribers are told of a new configuration, in full or not', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { notify_config: '1', deliver_payloads: '0' })
  await subscribes(romeo, 'sonnets')
  await juliet.sends(own('set', 's1', `<configure node="sonnets">${config({ title: 'Odes' })}</configure>`))
  await juliet.receives(answer('s1', juliet))
  await romeo.receives(event(romeo.jid, '<configuration node="sonnets"/>'))
  await juliet.sends(own('set', 's2', `<configure node="sonnets">${config({ deliver_payloads: '1' })}</configure>`))
  await juliet.receives(answer('s2', juliet))
  expect(fieldValues(await romeo.next(), 'title')).toEqual(['Odes'])
})

conversation('XEP-0060 §8.2: a node that is to keep less keeps the newest', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'sonnets')
  await publishes(juliet, 'sonnets', '1', '2', '3')
  await juliet.sends(own('set', 's1', `<configure node="sonnets">${config({ max_items: '2' })}</configure>`))
  await juliet.receives(answer('s1', juliet))
  await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await juliet.receives(answer('i1', juliet, `<items node="sonnets">${item('2')}${item('3')}</items>`))
  await juliet.sends(own('set', 's2', `<configure node="sonnets">${config({ persist_items: 'false' })}</configure>`))
  await juliet.receives(answer('s2', juliet))
  await juliet.sends(ask('get', 'i2', '<items node="sonnets"/>'))
  await juliet.receives(answer('i2', juliet, '<items node="sonnets"/>'))
})

conversation('XEP-0060 §8.3: what a new node is like, by its type', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(own('get', 'd1', '<default/>'))
  const leaf = await juliet.next()
  expect([
    fieldValues(leaf, 'node_type'),
    fieldValues(leaf, 'access_model'),
    fieldValues(leaf, 'send_last_published_item'),
  ]).toEqual([['leaf'], ['open'], ['on_sub_and_presence']])
  await juliet.sends(own('get', 'd2', '<default type="collection"/>'))
  const collection = await juliet.next()
  expect([
    fieldValues(collection, 'node_type'),
    fieldValues(collection, 'children_association_policy'),
    fieldValues(collection, 'max_items'),
  ]).toEqual([['collection'], ['owners'], []])
  await juliet.sends(own('get', 'd3', '<default type="tree"/>'))
  await juliet.receives(refused('d3', juliet, new StanzaError('bad-request')))
})

conversation('XEP-0060 §8.4: an owner deletes a node; subscribers are told, and where to go', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await subscribes(romeo, 'sonnets')
  await romeo.sends(own('set', 'd1', '<delete node="sonnets"/>'))
  await romeo.receives(refused('d1', romeo, new StanzaError('forbidden')))
  const redirect = '<redirect uri="xmpp:juliet@verona.example?;node=odes"/>'
  await juliet.sends(own('set', 'd2', `<delete node="sonnets">${redirect}</delete>`))
  await juliet.receives(answer('d2', juliet))
  await romeo.receives(event(romeo.jid, `<delete node="sonnets">${redirect}</delete>`))
  await juliet.sends(own('set', 'd3', '<delete node="sonnets"/>'))
  await juliet.receives(refused('d3', juliet, new StanzaError('item-not-found')))
  // Nothing of it is left.
  await creates(juliet, 'sonnets', { notify_delete: 'false' })
  await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await juliet.receives(answer('i1', juliet, '<items node="sonnets"/>'))
  await romeo.sends(ask('get', 's1', '<subscriptions/>'))
  await romeo.receives(answer('s1', romeo, '<subscriptions/>'))
  await subscribes(romeo, 'sonnets')
  await juliet.sends(own('set', 'd4', '<delete node="sonnets"/>'))
  await juliet.receives(answer('d4', juliet))
  await romeo.receivesNothing()
})

conversation('XEP-0060 §8.5: a node is purged, and one notification says so', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { send_last_published_item: 'never' })
  await publishes(juliet, 'sonnets', '1', '2')
  await subscribes(romeo, 'sonnets')
  await romeo.sends(own('set', 'u1', '<purge node="sonnets"/>'))
  await romeo.receives(refused('u1', romeo, new StanzaError('forbidden')))
  await juliet.sends(own('set', 'u2', '<purge node="sonnets"/>'))
  await juliet.receives(answer('u2', juliet))
  await romeo.receives(event(romeo.jid, '<purge node="sonnets"/>'))
  await romeo.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await romeo.receives(answer('i1', romeo, '<items node="sonnets"/>'))
  // §8.5.3.3, §8.5.3.4
  await creates(juliet, 'news', { persist_items: '0' })
  await juliet.sends(own('set', 'u3', '<purge node="news"/>'))
  await juliet.receives(refused('u3', juliet, unsupported('persistent-items')))
  await juliet.sends(own('set', 'u4', '<purge node="odes"/>'))
  await juliet.receives(refused('u4', juliet, new StanzaError('item-not-found')))
})

conversation('XEP-0060 §8.9: an owner says who may do what', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { access_model: 'whitelist' })
  const reads = async (id: string, expected: string) => {
    await romeo.sends(ask('get', id, '<items node="sonnets"/>'))
    await romeo.receives(expected)
  }
  const makes = async (id: string, affiliation: string) => {
    await juliet.sends(
      own(
        'set',
        id,
        `<affiliations node="sonnets"><affiliation jid="${romeo.bareJid}" affiliation="${affiliation}"/></affiliations>`,
      ),
    )
    await juliet.receives(answer(id, juliet))
  }
  await reads('r1', refused('r1', romeo, refusal('not-allowed', 'closed-node')))
  await makes('a1', 'member')
  await reads('r2', answer('r2', romeo, '<items node="sonnets"/>'))
  await juliet.sends(own('get', 'g1', '<affiliations node="sonnets"/>'))
  await juliet.receives(
    ownAnswer(
      'g1',
      juliet,
      `<affiliations node="sonnets"><affiliation jid="${juliet.bareJid}" affiliation="owner"/><affiliation jid="${romeo.bareJid}" affiliation="member"/></affiliations>`,
    ),
  )
  await romeo.sends(own('get', 'g2', '<affiliations node="sonnets"/>'))
  await romeo.receives(refused('g2', romeo, new StanzaError('forbidden')))
  // §5.7
  await romeo.sends(ask('get', 'g3', '<affiliations/>'))
  await romeo.receives(answer('g3', romeo, '<affiliations><affiliation node="sonnets" affiliation="member"/></affiliations>'))
  await makes('a2', 'outcast')
  await reads('r3', refused('r3', romeo, new StanzaError('forbidden')))
  await makes('a3', 'publish-only')
  await reads('r4', refused('r4', romeo, new StanzaError('forbidden')))
  await romeo.sends(ask('set', 'p1', `<publish node="sonnets">${item('1')}</publish>`))
  await romeo.receives(answer('p1', romeo, '<publish node="sonnets"><item id="1"/></publish>'))
  await makes('a4', 'none')
  await romeo.sends(ask('get', 'g4', '<affiliations/>'))
  await romeo.receives(answer('g4', romeo, '<affiliations/>'))
})

conversation('XEP-0060 §8.9.2.4: a node keeps an owner, and nothing of a bad list is done', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  const list = (mine: string, his: string) =>
    `<affiliations node="sonnets"><affiliation jid="${juliet.bareJid}" affiliation="${mine}"/><affiliation jid="${romeo.bareJid}" affiliation="${his}"/></affiliations>`
  await juliet.sends(own('set', 'a1', list('none', 'publisher')))
  await juliet.receives(
    refused('a1', juliet, new StanzaError('not-acceptable'), {
      beside: `<pubsub xmlns="http://jabber.org/protocol/pubsub#owner">${list('owner', 'none')}</pubsub>`,
    }),
  )
  await juliet.sends(own('set', 'a2', list('king', 'owner')))
  await juliet.receives(refused('a2', juliet, new StanzaError('bad-request')))
  await juliet.sends(own('set', 'a3', list('none', 'owner')))
  await juliet.receives(answer('a3', juliet))
  await juliet.sends(own('get', 'g1', '<affiliations node="sonnets"/>'))
  await juliet.receives(refused('g1', juliet, new StanzaError('forbidden')))
})

conversation('XEP-0060 §11: what is not asked properly is a bad request', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  for (const [type, payload] of [
    ['get', ''],
    ['get', '<publish node="x"/>'],
    ['set', '<items node="x"/>'],
    ['set', '<delete node="x"/>'],
    ['set', '<create xmlns="urn:example:other" node="x"/>'],
  ] as const) {
    await juliet.sends(ask(type, 'b1', payload))
    await juliet.receives(refused('b1', juliet, new StanzaError('bad-request')))
  }
})

conversation(
  'XEP-0060 §8.1.1: one account makes so many nodes, and leaves the others to others',
  { ...options, config: { admins: ['nurse@verona.example'], modules: { pubsub: { maxNodesPerAccount: 2 } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await creates(juliet, 'a')
    await creates(juliet, 'b')
    await juliet.sends(ask('set', 'c', '<create node="c"/>'))
    await juliet.receives(refused('c', juliet, refusal('conflict', 'max-nodes-exceeded')))
    const romeo = await connect('romeo@verona.example/orchard')
    await creates(romeo, 'c')
    const nurse = await connect('nurse@verona.example/chamber')
    for (const node of ['d', 'e', 'f']) await creates(nurse, node)
    await juliet.sends(own('set', 'd', '<delete node="a"/>'))
    await juliet.receives(answer('d', juliet))
    await creates(juliet, 'g')
  },
)

conversation(
  'XEP-0060 §8.2.5.2, §8.9.2: what is in memory with every node has an end, and nothing over it is kept',
  options,
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await creates(juliet, 'n', { title: 'Mine' })
    const groups = Array.from({ length: 30 }, (_, i) => `${i} ${'x'.repeat(900)}`)
    await juliet.sends(
      own('set', 'c', `<configure node="n">${config({ title: 'Other', roster_groups_allowed: groups })}</configure>`),
    )
    const text = 'a configuration has at most 16384 characters'
    await juliet.receives(refused('c', juliet, new StanzaError('not-acceptable', { text })))
    const wanted = Array.from(
      { length: 100 },
      (_, i) => `<affiliation jid="${i}${'x'.repeat(900)}@verona.example" affiliation="member"/>`,
    )
    await juliet.sends(own('set', 'a', `<affiliations node="n">${wanted.join('')}</affiliations>`))
    await juliet.receives(refused('a', juliet, new StanzaError('resource-constraint')))
    await juliet.sends(own('get', 'a', '<affiliations node="n"/>'))
    await juliet.receives(
      ownAnswer('a', juliet, `<affiliations node="n"><affiliation jid="${juliet.bareJid}" affiliation="owner"/></affiliations>`),
    )
    await juliet.sends(own('get', 'c', '<configure node="n"/>'))
    expect(fieldValues(await juliet.next(), 'title')).toEqual(['Mine'])
  },
)
