import { expect } from 'vitest'
import { presence } from '#server/modules/presence.ts'
import { pubsub } from '#server/modules/pubsub.ts'
import { conversation, xml } from '#server/testing/conversation.ts'
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
  publishes,
  refused,
  subscribes,
} from '#server/testing/pubsub-stanzas.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { refusal } from './errors.ts'

const options = { modules: [presence, pubsub], carriers: ['memory'] as const }
const collection = { node_type: 'collection' }
const through = (name: string) =>
  xml`<headers xmlns="http://jabber.org/protocol/shim"><header name="Collection">${name}</header></headers>`
const wants = (fields: Readonly<Record<string, string>>) => `<options>${form('subscribe_options', fields)}</options>`

conversation(
  'XEP-0248 §6.1: subscribers of a collection hear of its items, as deep as they wish',
  options,
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    const nurse = await connect('nurse@verona.example/chamber')
    await creates(juliet, 'library', collection)
    await creates(juliet, 'shelf', { ...collection, collection: 'library' })
    await creates(juliet, 'sonnets', { collection: 'shelf' })
    for (const [actor, depth] of [
      [romeo, '1'],
      [nurse, 'all'],
    ] as const) {
      await actor.sends(
        ask(
          'set',
          's',
          `<subscribe node="library" jid="${actor.jid}"/>${wants({ subscription_type: 'items', subscription_depth: depth })}`,
        ),
      )
      expect(fieldValues(await actor.next(), 'subscription_depth')).toEqual([depth])
    }
    await publishes(juliet, 'sonnets', '1')
    // §5.3: the item is of the leaf, and the header says by which subscription it came.
    await nurse.receives(event(nurse.jid, `<items node="sonnets">${item('1')}</items>`, { rest: through('library') }))
    await romeo.receivesNothing()
    // Who hears of it in two ways hears of it once.
    await subscribes(nurse, 'sonnets')
    await nurse.ignores()
    await juliet.sends(ask('set', 'r', '<retract node="sonnets" notify="true"><item id="1"/></retract>'))
    await juliet.receives(answer('r', juliet))
    await nurse.receives(event(nurse.jid, '<items node="sonnets"><retract id="1"/></items>'))
    await nurse.receivesNothing()
  },
)

conversation('XEP-0248 §6.1: unless they say otherwise they hear which nodes come and go', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'shelf', collection)
  await creates(juliet, 'odes')
  await subscribes(romeo, 'shelf')
  await creates(juliet, 'sonnets', { collection: 'shelf', notify_config: '1', deliver_payloads: '0' })
  await romeo.receives(event(romeo.jid, '<create node="sonnets"/>', { rest: through('shelf') }))
  await juliet.sends(own('set', 'a1', '<collection node="shelf"><associate node="odes"/></collection>'))
  await juliet.receives(answer('a1', juliet))
  await romeo.receives(event(romeo.jid, '<collection node="shelf"><associate node="odes"/></collection>'))
  await juliet.sends(own('set', 'c1', `<configure node="sonnets">${config({ title: 'Sonnets' })}</configure>`))
  await juliet.receives(answer('c1', juliet))
  await romeo.receives(event(romeo.jid, '<configuration node="sonnets"/>', { rest: through('shelf') }))
  await juliet.sends(own('set', 'a2', '<collection node="shelf"><dissociate node="odes"/></collection>'))
  await juliet.receives(answer('a2', juliet))
  await romeo.receives(event(romeo.jid, '<collection node="shelf"><dissociate node="odes"/></collection>'))
  await juliet.sends(own('set', 'd1', '<delete node="sonnets"/>'))
  await juliet.receives(answer('d1', juliet))
  await romeo.receives(
    event(romeo.jid, '<delete node="sonnets"/>', { rest: through('shelf') }),
    event(romeo.jid, '<collection node="shelf"><dissociate node="sonnets"/></collection>'),
  )
})

conversation('XEP-0248 §7.2: what a collection holds is said from either side', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'shelf', collection)
  await creates(juliet, 'trunk', collection)
  for (const node of ['a', 'b', 'c']) await creates(juliet, node)
  const held = async (node: string) => {
    await juliet.sends(own('get', 'g', `<configure node="${node}"/>`))
    const shown = await juliet.next()
    return [fieldValues(shown, 'children'), fieldValues(shown, 'collection')]
  }
  const configures = async (node: string, fields: Readonly<Record<string, string | readonly string[]>>) => {
    await juliet.sends(own('set', 'c', `<configure node="${node}">${config(fields)}</configure>`))
    await juliet.receives(answer('c', juliet))
  }
  await configures('shelf', { children: ['a', 'b'] })
  expect(await held('shelf')).toEqual([['a', 'b'], []])
  await configures('shelf', { children: ['b', 'c'] })
  expect(await held('shelf')).toEqual([['b', 'c'], []])
  await configures('b', { collection: ['shelf', 'trunk'] })
  expect(await held('trunk')).toEqual([['b'], []])
  expect(await held('b')).toEqual([[], ['shelf', 'trunk']])
  // §8.2: nodes outlive their collection.
  await juliet.sends(own('set', 'd', '<delete node="shelf"/>'))
  await juliet.receives(answer('d', juliet))
  await juliet.ignores()
  expect(await held('b')).toEqual([[], ['trunk']])
  expect(await held('c')).toEqual([[], []])
  // §7.2.4: a leaf that becomes a collection has no items.
  await publishes(juliet, 'c', '1')
  await configures('c', collection)
  await juliet.sends(ask('set', 'p', `<publish node="c">${item('2')}</publish>`))
  expect((await juliet.next()).attrs.type).toBe('error')
})

conversation('XEP-0248 §7.2.3: what cannot be in what', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'library', { ...collection, children_max: '2' })
  await creates(juliet, 'shelf', { ...collection, collection: 'library' })
  await creates(juliet, 'leaf')
  const refuses = async (payload: string, error: StanzaError, actor = juliet) => {
    await actor.sends(own('set', 'x', payload))
    await actor.receives(refused('x', actor, error))
  }
  const puts = (child: string, into: string) => `<configure node="${child}">${config({ collection: into })}</configure>`
  const impossible = refusal('not-allowed', 'invalid-options')
  await refuses(puts('shelf', 'leaf'), impossible)
  await refuses(puts('library', 'library'), impossible)
  await refuses(puts('library', 'shelf'), impossible)
  await refuses(puts('shelf', 'nowhere'), new StanzaError('item-not-found'))
  await refuses(`<configure node="shelf">${config({ node_type: 'leaf' })}</configure>`, impossible)
  await refuses('<collection node="library"><associate/></collection>', refusal('bad-request', 'nodeid-required'))
  await refuses('<collection node="library"><adopt node="leaf"/></collection>', new StanzaError('bad-request'))
  // §7.5
  await refuses('<collection node="library"><dissociate node="leaf"/></collection>', new StanzaError('bad-request'))
  await creates(romeo, 'his')
  await refuses(puts('his', 'library'), new StanzaError('forbidden'), romeo)
  await refuses('<collection node="library"><associate node="his"/></collection>', new StanzaError('forbidden'))
  await creates(juliet, 'second', { collection: 'library' })
  await refuses(puts('leaf', 'library'), refusal('not-allowed', 'max-nodes-exceeded'))
  await refuses(
    `<configure node="library">${config({ children: ['shelf', 'second', 'leaf'] })}</configure>`,
    refusal('not-allowed', 'max-nodes-exceeded'),
  )
  // Where everybody may, everybody does.
  await creates(juliet, 'market', {
    ...collection,
    children_association_policy: 'whitelist',
    children_association_whitelist: romeo.bareJid,
  })
  await romeo.sends(own('set', 'y', puts('his', 'market')))
  await romeo.receives(answer('y', romeo))
  // And its owner clears it.
  await juliet.sends(own('set', 'z', '<collection node="market"><dissociate node="his"/></collection>'))
  await juliet.receives(answer('z', juliet))
})

conversation('XEP-0248 §10.1: a collection opens no node that is closed by itself', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'shelf', collection)
  await creates(juliet, 'diary', { collection: 'shelf', access_model: 'whitelist' })
  await romeo.sends(ask('set', 's', `<subscribe node="shelf" jid="${romeo.jid}"/>${wants({ subscription_type: 'all' })}`))
  await romeo.next()
  await publishes(juliet, 'diary', '1')
  await romeo.receivesNothing()
})

conversation('XEP-0248 §7.2: one form moves so many nodes, and more of them none', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'library', collection)
  await creates(juliet, 'sonnets')
  const children = ['sonnets', ...Array.from({ length: 100 }, (_, i) => `n${i}`)]
  await juliet.sends(own('set', 'c', `<configure node="library">${config({ children })}</configure>`))
  const text = 'at most 100 nodes come and go at once'
  await juliet.receives(refused('c', juliet, new StanzaError('not-acceptable', { text })))
  await juliet.sends(own('get', 'c', '<configure node="library"/>'))
  expect(fieldValues(await juliet.next(), 'children')).toEqual([])
})
