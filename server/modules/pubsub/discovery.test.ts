import { expect } from 'vitest'
import { presence } from '#server/modules/presence.ts'
import { pubsub } from '#server/modules/pubsub.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import { creates, fieldValues, publishes, refused, SERVICE, subscribes } from '#server/testing/pubsub-stanzas.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { SERVICE_FEATURES } from './service.ts'

const options = { modules: [presence, pubsub], carriers: ['memory'] as const }
const ask = (what: 'info' | 'items', to: string, node?: string) =>
  xml`<iq type="get" id="d" to="${to}"><query xmlns="http://jabber.org/protocol/disco#${what}"${node === undefined ? '' : ` node="${node}"`}/></iq>`
const answer = (what: 'info' | 'items', to: { jid: string }, content: string, { from = SERVICE, node = '' } = {}) =>
  xml`<iq type="result" id="d" from="${from}" to="${to.jid}"><query xmlns="http://jabber.org/protocol/disco#${what}"${node === '' ? '' : ` node="${node}"`}>${content}</query></iq>`

conversation('XEP-0060 §5.1: the server lists the service, which says what it does', options, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask('items', domain))
  await juliet.receives(answer('items', juliet, `<item jid="${SERVICE}" name="Nodes"/>`, { from: domain }))
  await juliet.sends(ask('info', SERVICE))
  const features = SERVICE_FEATURES.map((feature) => xml`<feature var="${feature}"/>`).join('')
  await juliet.receives(answer('info', juliet, `<identity category="pubsub" type="service" name="Nodes"/>${features}`))
})

conversation(
  'XEP-0060 §5.1: the service has the name and the address it is given',
  { ...options, config: { modules: { pubsub: { subdomain: 'news', name: 'News' } } } },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask('items', domain))
    await juliet.receives(answer('items', juliet, '<item jid="news.verona.example" name="News"/>', { from: domain }))
    await juliet.sends(ask('items', 'news.verona.example'))
    await juliet.receives(answer('items', juliet, '', { from: 'news.verona.example' }))
  },
)

conversation('XEP-0060 §5.2, §5.5: nodes and items are listed for those who may see them', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { title: 'Sonnets' })
  await creates(juliet, 'diary', { access_model: 'whitelist' })
  await creates(juliet, 'club', { access_model: 'authorize' })
  await creates(juliet, 'shelf', { node_type: 'collection' })
  await creates(juliet, 'odes', { collection: 'shelf' })
  await publishes(juliet, 'sonnets', '1', '2')
  const nodes = (...names: readonly string[]) =>
    names.map((name) => xml`<item jid="${SERVICE}" node="${name}"${name === 'sonnets' ? ' name="Sonnets"' : ''}/>`).join('')
  await juliet.sends(ask('items', SERVICE))
  await juliet.receives(answer('items', juliet, nodes('sonnets', 'diary', 'club', 'shelf')))
  await romeo.sends(ask('items', SERVICE))
  await romeo.receives(answer('items', romeo, nodes('sonnets', 'club', 'shelf')))
  await romeo.sends(ask('items', SERVICE, 'shelf'))
  await romeo.receives(answer('items', romeo, nodes('odes'), { node: 'shelf' }))
  await romeo.sends(ask('items', SERVICE, 'sonnets'))
  await romeo.receives(
    answer('items', romeo, `<item jid="${SERVICE}" name="1"/><item jid="${SERVICE}" name="2"/>`, { node: 'sonnets' }),
  )
  for (const node of ['diary', 'nowhere']) {
    await romeo.sends(ask('items', SERVICE, node))
    await romeo.receives(refused('d', romeo, new StanzaError('item-not-found')))
    await romeo.sends(ask('info', SERVICE, node))
    await romeo.receives(refused('d', romeo, new StanzaError('item-not-found')))
  }
  // One may ask to be let into the club, but its items are for its members.
  await romeo.sends(ask('items', SERVICE, 'club'))
  expect((await romeo.next()).attrs.type).toBe('error')
})

conversation('XEP-0060 §5.3, §5.4: what a node tells about itself', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', {
    title: 'Sonnets',
    description: 'Fourteen lines each',
    language: 'en',
    type: 'urn:example:note',
    contact: 'bard@verona.example',
  })
  await subscribes(romeo, 'sonnets')
  await romeo.sends(ask('info', SERVICE, 'sonnets'))
  const [told] = await romeo.receives(
    answer(
      'info',
      romeo,
      `<identity category="pubsub" type="leaf" name="Sonnets"/><feature var="http://jabber.org/protocol/pubsub"/><feature var="http://jabber.org/protocol/disco#info"/><feature var="http://jabber.org/protocol/disco#items"/><x xmlns="jabber:x:data" type="result">${any}</x>`,
      { node: 'sonnets' },
    ),
  )
  const shown = [
    'title',
    'description',
    'language',
    'type',
    'contact',
    'access_model',
    'publish_model',
    'max_items',
    'creator',
    'owner',
    'num_subscribers',
  ]
  expect(told && shown.map((name) => fieldValues(told, name).join())).toEqual([
    'Sonnets',
    'Fourteen lines each',
    'en',
    'urn:example:note',
    'bard@verona.example',
    'open',
    'publishers',
    'max',
    juliet.bareJid,
    juliet.bareJid,
    '1',
  ])
})
