import { expect } from 'vitest'
import { presence } from '#server/modules/presence.ts'
import { pubsub } from '#server/modules/pubsub.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
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
  SERVICE,
  subscribed,
  subscribes,
} from '#server/testing/pubsub-stanzas.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { refusal, unsupported } from './errors.ts'

const options = { modules: [presence, pubsub], carriers: ['memory'] as const }
const subscribe = (id: string, node: string, jid: string, rest = '') =>
  ask('set', id, `<subscribe node="${node}" jid="${jid}"/>${rest}`)
const wishes = (fields: Readonly<Record<string, string>>) => form('subscribe_options', fields)
const delayed = xml`<delay xmlns="urn:xmpp:delay" from="${SERVICE}" stamp="${any}"/>`

/** What an owner is asked about a subscriber. */
const request = (owner: { bareJid: string }, node: string, jid: string) =>
  xml`<message id="${any}" from="${SERVICE}" to="${owner.bareJid}"><x xmlns="jabber:x:data" type="form"><title>Request to subscribe</title><instructions>${jid} wants to be told what is published at ${node}.</instructions><field var="FORM_TYPE" type="hidden"><value>http://jabber.org/protocol/pubsub#subscribe_authorization</value></field><field var="pubsub#node" type="text-single" label="Node"><value>${node}</value></field><field var="pubsub#subscriber_jid" type="jid-single" label="Who asks"><value>${jid}</value></field><field var="pubsub#allow" type="boolean" label="Allow it?"><value>false</value></field></x><stanza-id xmlns="urn:xmpp:sid:0" by="${owner.bareJid}" id="${any}"/></message>`
const decides = (node: string, jid: string, allow: string, type = 'submit') =>
  xml`<message id="d1" to="${SERVICE}">${form('subscribe_authorization', { node, subscriber_jid: jid, allow }, type)}</message>`

conversation('XEP-0060 §6.1, §6.2: subscribed until unsubscribed', { modules: [presence, pubsub] }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await romeo.sends(subscribe('s1', 'sonnets', romeo.jid))
  await romeo.receives(answer('s1', romeo, subscribed('sonnets', romeo.jid)))
  // §6.1.6: once is enough.
  await romeo.sends(subscribe('s2', 'sonnets', romeo.jid))
  await romeo.receives(answer('s2', romeo, subscribed('sonnets', romeo.jid)))
  await publishes(juliet, 'sonnets', '1')
  await romeo.receives(event(romeo.jid, `<items node="sonnets">${item('1')}</items>`))
  // §5.6
  await romeo.sends(ask('get', 'g1', '<subscriptions/>'))
  await romeo.receives(
    answer(
      'g1',
      romeo,
      xml`<subscriptions><subscription node="sonnets" jid="${romeo.jid}" subscription="subscribed"/></subscriptions>`,
    ),
  )
  await romeo.sends(ask('get', 'g2', '<subscriptions node="odes"/>'))
  await romeo.receives(answer('g2', romeo, '<subscriptions node="odes"/>'))
  await romeo.sends(ask('set', 'u1', xml`<unsubscribe node="sonnets" jid="${romeo.jid}"/>`))
  await romeo.receives(answer('u1', romeo))
  await publishes(juliet, 'sonnets', '2')
  await romeo.receivesNothing()
  await romeo.sends(ask('get', 'g3', '<subscriptions/>'))
  await romeo.receives(answer('g3', romeo, '<subscriptions/>'))
})

conversation('XEP-0060 §6.1.3, §6.2.3: who may not subscribe, or has not', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await creates(juliet, 'closed', { access_model: 'whitelist' })
  await creates(juliet, 'friends', { access_model: 'presence' })
  await creates(juliet, 'loved', { access_model: 'roster', roster_groups_allowed: 'Loved' })
  await creates(juliet, 'silent', { subscribe: '0' })
  await creates(juliet, 'banned')
  await juliet.sends(
    own('set', 'a', `<affiliations node="banned"><affiliation jid="${romeo.bareJid}" affiliation="outcast"/></affiliations>`),
  )
  await juliet.receives(answer('a', juliet))
  const refuses = async (payload: string, error: StanzaError) => {
    await romeo.sends(ask('set', 's', payload))
    await romeo.receives(refused('s', romeo, error))
  }
  const me = romeo.jid
  await refuses(`<subscribe node="sonnets" jid="${juliet.jid}"/>`, refusal('bad-request', 'invalid-jid'))
  await refuses('<subscribe node="sonnets" jid="not@@a@jid"/>', refusal('bad-request', 'invalid-jid'))
  await refuses('<subscribe node="sonnets"/>', refusal('bad-request', 'invalid-jid'))
  await refuses(`<subscribe jid="${me}"/>`, refusal('bad-request', 'nodeid-required'))
  await refuses(`<subscribe node="odes" jid="${me}"/>`, new StanzaError('item-not-found'))
  await refuses(`<subscribe node="closed" jid="${me}"/>`, refusal('not-allowed', 'closed-node'))
  await refuses(`<subscribe node="friends" jid="${me}"/>`, refusal('not-authorized', 'presence-subscription-required'))
  await refuses(`<subscribe node="loved" jid="${me}"/>`, refusal('not-authorized', 'not-in-roster-group'))
  await refuses(`<subscribe node="silent" jid="${me}"/>`, unsupported('subscribe'))
  await refuses(`<subscribe node="banned" jid="${me}"/>`, new StanzaError('forbidden'))
  await refuses(`<unsubscribe node="sonnets" jid="${me}"/>`, refusal('unexpected-request', 'not-subscribed', 'cancel'))
  await refuses(`<unsubscribe node="sonnets" jid="${juliet.jid}"/>`, new StanzaError('forbidden'))
  await refuses(`<unsubscribe node="odes" jid="${me}"/>`, new StanzaError('item-not-found'))
  await refuses('<unsubscribe node="sonnets"/>', refusal('bad-request', 'invalid-jid'))
})

conversation(
  'XEP-0060 §6.1.3.9: so many subscriptions to a node, and of one subscriber, and no more',
  { ...options, config: { modules: { pubsub: { maxSubscriptionsPerNode: 2, maxSubscriptionsPerSubscriber: 2 } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    const tybalt = await connect('tybalt@verona.example/square')
    for (const node of ['1', '2', '3']) await creates(juliet, node)
    await subscribes(romeo, '1')
    await subscribes(romeo, '2')
    await romeo.sends(subscribe('s', '3', romeo.jid))
    await romeo.receives(refused('s', romeo, refusal('policy-violation', 'too-many-subscriptions', 'wait')))
    await subscribes(tybalt, '1')
    await juliet.sends(subscribe('s', '1', juliet.jid))
    await juliet.receives(refused('s', juliet, refusal('policy-violation', 'too-many-subscriptions', 'wait')))
    await juliet.sends(
      own('set', 'm', `<subscriptions node="1"><subscription jid="${juliet.jid}" subscription="subscribed"/></subscriptions>`),
    )
    await juliet.receives(refused('m', juliet, refusal('policy-violation', 'too-many-subscriptions', 'wait')))
  },
)

conversation('XEP-0060 §6.1.7: a new subscriber is sent what was published last, as late', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await publishes(juliet, 'sonnets', '1', '2')
  await romeo.sends(subscribe('s1', 'sonnets', romeo.jid))
  await romeo.receives(
    answer('s1', romeo, subscribed('sonnets', romeo.jid)),
    event(romeo.jid, `<items node="sonnets">${item('2')}</items>`, { rest: delayed }),
  )
  await creates(juliet, 'odes', { send_last_published_item: 'never' })
  await publishes(juliet, 'odes', '1')
  await subscribes(romeo, 'odes')
  await romeo.receivesNothing()
})

conversation(
  'XEP-0060 §12.2: a subscriber that comes online is sent it too',
  options,
  async ({ connect, comesOnline, clock }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await comesOnline('romeo@verona.example/orchard')
    await creates(juliet, 'sonnets')
    await creates(juliet, 'odes', { send_last_published_item: 'on_sub' })
    for (const node of ['sonnets', 'odes']) {
      await romeo.sends(subscribe('s', node, romeo.bareJid))
      await romeo.receives(answer('s', romeo, subscribed(node, romeo.bareJid)))
    }
    await romeo.leaves()
    await publishes(juliet, 'sonnets', '1')
    await publishes(juliet, 'odes', '1')
    clock.advance('60s')
    const later = await connect('romeo@verona.example/chamber')
    await later.sends('<presence/>')
    await later.receivesInAnyOrder(
      xml`<presence from="${later.jid}" to="${later.bareJid}"/>`,
      event(later.jid, `<items node="sonnets">${item('1')}</items>`, { rest: delayed }),
    )
    await later.receivesNothing()
  },
)

conversation('XEP-0060 §6.3: how a subscriber wants to be told', options, async ({ connect, clock }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await subscribes(romeo, 'sonnets')
  await romeo.sends(ask('get', 'o1', `<options node="sonnets" jid="${romeo.jid}"/>`))
  const shown = await romeo.next()
  expect([fieldValues(shown, 'deliver'), fieldValues(shown, 'expire'), fieldValues(shown, 'subscription_type')]).toEqual([
    ['1'],
    [],
    [],
  ])
  const changes = async (id: string, fields: Readonly<Record<string, string>>, expected: string) => {
    await romeo.sends(ask('set', id, `<options node="sonnets" jid="${romeo.jid}">${wishes(fields)}</options>`))
    await romeo.receives(expected)
  }
  await changes('o2', { deliver: '0', digest: '0' }, answer('o2', romeo))
  await publishes(juliet, 'sonnets', '1')
  await romeo.receivesNothing()
  // §12.19
  const until = new Date(clock.nowMs() + 60_000).toISOString()
  await changes('o3', { deliver: 'true', expire: until }, answer('o3', romeo))
  await publishes(juliet, 'sonnets', '2')
  await romeo.receives(event(romeo.jid, `<items node="sonnets">${item('2')}</items>`))
  clock.advance('60s')
  await publishes(juliet, 'sonnets', '3')
  await romeo.receivesNothing()
  await changes('o4', { deliver: '1' }, refused('o4', romeo, refusal('unexpected-request', 'not-subscribed', 'modify')))
})

conversation('XEP-0060 §6.3.4, §6.3.6.2: what cannot be wished for', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await subscribes(romeo, 'sonnets')
  const refuses = async (type: 'get' | 'set', payload: string, error: StanzaError) => {
    await romeo.sends(ask(type, 'o', payload))
    await romeo.receives(refused('o', romeo, error))
  }
  const invalid = refusal('bad-request', 'invalid-options')
  for (const fields of [
    { deliver: 'perhaps' },
    { digest: '1' },
    { include_body: 'true' },
    { 'show-values': 'away' },
    { expire: 'presence' },
    { expire: '2001-01-01T00:00:00Z' },
    { subscription_type: 'everything' },
    { subscription_depth: '-1' },
  ])
    await refuses('set', `<options node="sonnets" jid="${romeo.jid}">${wishes(fields)}</options>`, invalid)
  await refuses('set', `<options node="sonnets" jid="${romeo.jid}"/>`, invalid)
  await refuses('get', '<options node="sonnets"/>', refusal('bad-request', 'jid-required'))
  await refuses('get', '<options node="sonnets" jid="@"/>', refusal('bad-request', 'invalid-jid'))
  await refuses('get', `<options node="sonnets" jid="${juliet.jid}"/>`, new StanzaError('forbidden'))
  await refuses('get', `<options node="odes" jid="${romeo.jid}"/>`, new StanzaError('item-not-found'))
  await refuses(
    'get',
    `<options node="sonnets" jid="${romeo.bareJid}"/>`,
    refusal('unexpected-request', 'not-subscribed', 'modify'),
  )
  // §6.3.7
  await refuses(
    'set',
    `<subscribe node="sonnets" jid="${romeo.bareJid}"/><options node="sonnets">${wishes({})}</options>`,
    new StanzaError('bad-request'),
  )
  await romeo.sends(subscribe('s1', 'sonnets', romeo.bareJid, `<options>${wishes({ deliver: '0' })}</options>`))
  const done = await romeo.next()
  expect([done.attrs.type, fieldValues(done, 'deliver')]).toEqual(['result', ['0']])
  // §6.4
  await romeo.sends(ask('get', 'd1', '<default node="sonnets"/>'))
  expect(fieldValues(await romeo.next(), 'deliver')).toEqual(['1'])
  await romeo.sends(ask('get', 'd2', '<default node="odes"/>'))
  await romeo.receives(refused('d2', romeo, new StanzaError('item-not-found')))
})

conversation('XEP-0060 §6.1.4, §8.6: an owner lets a subscriber in, or not', options, async ({ connect, comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  const tybalt = await connect('tybalt@verona.example/square')
  await creates(juliet, 'sonnets', { access_model: 'authorize' })
  await publishes(juliet, 'sonnets', '1')
  for (const actor of [romeo, tybalt]) {
    await actor.sends(subscribe('s1', 'sonnets', actor.jid))
    await actor.receives(answer('s1', actor, subscribed('sonnets', actor.jid, 'pending')))
    await juliet.receives(request(juliet, 'sonnets', actor.jid))
    // §6.1.3.7
    await actor.sends(subscribe('s2', 'sonnets', actor.jid))
    await actor.receives(refused('s2', actor, refusal('not-authorized', 'pending-subscription')))
    await actor.sends(ask('get', 'i1', '<items node="sonnets"/>'))
    await actor.receives(refused('i1', actor, refusal('not-authorized', 'not-subscribed')))
  }
  await publishes(juliet, 'sonnets', '2')
  await romeo.receivesNothing()
  // Nobody lets themselves in.
  await romeo.sends(decides('sonnets', romeo.jid, '1'))
  await romeo.receives(
    xml`<message type="error" id="d1" from="${SERVICE}" to="${romeo.jid}"><error type="auth" code="403"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
  await juliet.sends(decides('sonnets', romeo.jid, '1', 'cancel'))
  await romeo.receivesNothing()
  await juliet.sends(decides('sonnets', romeo.jid, 'true'))
  await romeo.receives(
    event(romeo.jid, xml`<subscription node="sonnets" jid="${romeo.jid}" subscription="subscribed"/>`),
    event(romeo.jid, `<items node="sonnets">${item('2')}</items>`, { rest: delayed }),
  )
  await juliet.sends(decides('sonnets', tybalt.jid, '0'))
  await tybalt.receives(event(tybalt.jid, xml`<subscription node="sonnets" jid="${tybalt.jid}" subscription="none"/>`))
  await romeo.sends(ask('get', 'i2', '<items node="sonnets"/>'))
  await romeo.receives(answer('i2', romeo, `<items node="sonnets">${item('1')}${item('2')}</items>`))
  // §12.13: it was answered.
  await juliet.sends(decides('sonnets', tybalt.jid, '1'))
  await juliet.receives(
    xml`<message type="error" id="d1" from="${SERVICE}" to="${juliet.jid}"><error type="cancel" code="404"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
  await juliet.sends(decides('sonnets', tybalt.jid, 'maybe'))
  await juliet.receives(
    xml`<message type="error" id="d1" from="${SERVICE}" to="${juliet.jid}"><error type="modify" code="400"><bad-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
  await juliet.sends(xml`<message id="d1" to="${SERVICE}"><body>Let him in.</body></message>`)
  await juliet.receives(
    xml`<message type="error" id="d1" from="${SERVICE}" to="${juliet.jid}"><error type="cancel" code="503"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></message>`,
  )
})

conversation('XEP-0060 §8.7.4: a new affiliation answers what waits', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  const tybalt = await connect('tybalt@verona.example/square')
  await creates(juliet, 'sonnets', { access_model: 'authorize' })
  for (const actor of [romeo, tybalt]) {
    await actor.sends(subscribe('s1', 'sonnets', actor.jid))
    await actor.receives(answer('s1', actor, subscribed('sonnets', actor.jid, 'pending')))
  }
  await juliet.ignores()
  await juliet.sends(
    own(
      'set',
      'a1',
      `<affiliations node="sonnets"><affiliation jid="${romeo.bareJid}" affiliation="publisher"/><affiliation jid="${tybalt.bareJid}" affiliation="outcast"/></affiliations>`,
    ),
  )
  await juliet.receives(answer('a1', juliet))
  await romeo.receives(event(romeo.jid, xml`<subscription node="sonnets" jid="${romeo.jid}" subscription="subscribed"/>`))
  await tybalt.receives(event(tybalt.jid, xml`<subscription node="sonnets" jid="${tybalt.jid}" subscription="none"/>`))
})

conversation('XEP-0060 §8.8: an owner manages subscriptions, and is told of them', options, async ({ connect, comesOnline }) => {
  const juliet = await comesOnline('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { notify_sub: '1' })
  await subscribes(romeo, 'sonnets')
  await juliet.receives(event(juliet.bareJid, xml`<subscription node="sonnets" jid="${romeo.jid}" subscription="subscribed"/>`))
  const list = (...entries: readonly (readonly [string, string])[]) =>
    `<subscriptions node="sonnets">${entries.map(([jid, state]) => xml`<subscription jid="${jid}" subscription="${state}"/>`).join('')}</subscriptions>`
  await juliet.sends(own('get', 'g1', '<subscriptions node="sonnets"/>'))
  await juliet.receives(ownAnswer('g1', juliet, list([romeo.jid, 'subscribed'])))
  await juliet.sends(own('set', 'm1', list([romeo.jid, 'none'], [juliet.jid, 'subscribed'])))
  await juliet.receivesInAnyOrder(
    event(juliet.jid, xml`<subscription node="sonnets" jid="${juliet.jid}" subscription="subscribed"/>`),
    answer('m1', juliet),
  )
  await romeo.receives(event(romeo.jid, xml`<subscription node="sonnets" jid="${romeo.jid}" subscription="none"/>`))
  await juliet.sends(own('get', 'g2', '<subscriptions node="sonnets"/>'))
  await juliet.receives(ownAnswer('g2', juliet, list([juliet.jid, 'subscribed'])))
  await juliet.sends(own('set', 'm2', list([romeo.jid, 'enthralled'])))
  await juliet.receives(refused('m2', juliet, new StanzaError('bad-request')))
  await romeo.sends(own('get', 'g3', '<subscriptions node="sonnets"/>'))
  await romeo.receives(refused('g3', romeo, new StanzaError('forbidden')))
  await romeo.sends(own('set', 'm3', list([romeo.jid, 'subscribed'])))
  await romeo.receives(refused('m3', romeo, new StanzaError('forbidden')))
})

conversation('XEP-0060 §12.14: who may read no longer hears nothing more', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await subscribes(romeo, 'sonnets')
  await juliet.sends(own('set', 'c1', `<configure node="sonnets">${config({ access_model: 'whitelist' })}</configure>`))
  await juliet.receives(answer('c1', juliet))
  await publishes(juliet, 'sonnets', '1')
  await romeo.receivesNothing()
})

conversation('XEP-0060 §12.6: only those who are available are told, where the node says so', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { presence_based_delivery: '1' })
  await subscribes(romeo, 'sonnets')
  await publishes(juliet, 'sonnets', '1')
  await romeo.receivesNothing()
  await romeo.sends('<presence/>')
  await romeo.ignores()
  await publishes(juliet, 'sonnets', '2')
  await romeo.receives(event(romeo.jid, `<items node="sonnets">${item('2')}</items>`))
})

conversation('XEP-0060 §8: of an account that is deleted nothing is left', options, async ({ connect, server }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await juliet.sends(
    own('set', 'a1', `<affiliations node="sonnets"><affiliation jid="${romeo.bareJid}" affiliation="publisher"/></affiliations>`),
  )
  await juliet.receives(answer('a1', juliet))
  await subscribes(romeo, 'sonnets')
  await server.accounts.delete(romeo.bareJid)
  await juliet.sends(own('get', 'g1', '<subscriptions node="sonnets"/>'))
  await juliet.receives(ownAnswer('g1', juliet, '<subscriptions node="sonnets"/>'))
  await juliet.sends(own('get', 'g2', '<affiliations node="sonnets"/>'))
  await juliet.receives(
    ownAnswer(
      'g2',
      juliet,
      `<affiliations node="sonnets"><affiliation jid="${juliet.bareJid}" affiliation="owner"/></affiliations>`,
    ),
  )
})
