import { presence } from '#server/modules/presence.ts'
import { pubsub } from '#server/modules/pubsub.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import {
  answer,
  ask,
  config,
  creates,
  event,
  form,
  item,
  note,
  own,
  publishes,
  refused,
  subscribes,
} from '#server/testing/pubsub-stanzas.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { refusal, unsupported } from './errors.ts'

const options = { modules: [presence, pubsub], carriers: ['memory'] as const }
const set = (first: string, last: string, index: number, count: number) =>
  xml`<set xmlns="http://jabber.org/protocol/rsm"><first index="${index}">${first}</first><last>${last}</last><count>${count}</count></set>`
const page = (...inner: readonly string[]) => xml`<set xmlns="http://jabber.org/protocol/rsm">${inner.join('')}</set>`

conversation(
  'XEP-0060 §7.1.2: what is published reaches subscribers and is kept',
  { modules: [presence, pubsub] },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await creates(juliet, 'sonnets')
    await subscribes(romeo, 'sonnets')
    await publishes(juliet, 'sonnets', '1')
    await romeo.receives(event(romeo.jid, `<items node="sonnets">${item('1')}</items>`))
    await romeo.sends(ask('get', 'i1', '<items node="sonnets"/>'))
    await romeo.receives(answer('i1', romeo, `<items node="sonnets">${item('1')}</items>`))
  },
)

conversation('XEP-0060 §7.1.2: an item without an id is given one', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'sonnets')
  await juliet.sends(ask('set', 'p1', `<publish node="sonnets"><item>${note('once')}</item></publish>`))
  await juliet.receives(answer('p1', juliet, `<publish node="sonnets"><item id="${any}"/></publish>`))
  await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await juliet.receives(answer('i1', juliet, `<items node="sonnets"><item id="${any}">${note('once')}</item></items>`))
})

conversation('XEP-0060 §12.9: the same id overwrites, and the item is the newest', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await publishes(juliet, 'sonnets', '1', '2')
  await subscribes(romeo, 'sonnets')
  await romeo.ignores()
  await juliet.sends(ask('set', 'p1', `<publish node="sonnets">${item('1', note('again'))}</publish>`))
  await juliet.receives(answer('p1', juliet, '<publish node="sonnets"><item id="1"/></publish>'))
  await romeo.receives(event(romeo.jid, `<items node="sonnets">${item('1', note('again'))}</items>`))
  await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await juliet.receives(answer('i1', juliet, `<items node="sonnets">${item('2')}${item('1', note('again'))}</items>`))
})

conversation(
  'XEP-0060 §7.1.3: what does not fit the node is refused',
  { ...options, config: { modules: { pubsub: { maxPayload: '1 KiB' } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await creates(juliet, 'sonnets', { type: 'urn:example:note' })
    await creates(juliet, 'short', { max_payload_size: '50' })
    await creates(juliet, 'shelf', { node_type: 'collection' })
    const refuses = async (payload: string, error: StanzaError) => {
      await juliet.sends(ask('set', 'p', payload))
      await juliet.receives(refused('p', juliet, error))
    }
    const invalid = refusal('bad-request', 'invalid-payload')
    await refuses('<publish node="odes"/>', new StanzaError('item-not-found'))
    await refuses('<publish/>', refusal('bad-request', 'nodeid-required'))
    await refuses('<publish node="sonnets"/>', refusal('bad-request', 'item-required'))
    await refuses('<publish node="sonnets"><item/></publish>', refusal('bad-request', 'payload-required'))
    await refuses(`<publish node="sonnets">${item('1', note('1') + note('2'))}</publish>`, invalid)
    await refuses(`<publish node="sonnets">${item('1', '<a xmlns="urn:example:other"/>')}</publish>`, invalid)
    await refuses(`<publish node="shelf">${item('1')}</publish>`, unsupported('publish'))
    await refuses(
      `<publish node="short">${item('1', note('x'.repeat(50)))}</publish>`,
      refusal('not-acceptable', 'payload-too-big'),
    )
    await refuses(
      `<publish node="sonnets">${item('1', note('x'.repeat(1024)))}</publish>`,
      refusal('not-acceptable', 'payload-too-big'),
    )
    await refuses(
      `<publish node="sonnets">${item('i'.repeat(10_240))}</publish>`,
      new StanzaError('not-acceptable', { text: 'this cannot be the id of an item' }),
    )
    await refuses(`<publish node="sonnets">${item('1')}${item('1')}</publish>`, new StanzaError('bad-request'))
    // §7.1.3.1
    await romeo.sends(ask('set', 'p', `<publish node="sonnets">${item('1')}</publish>`))
    await romeo.receives(refused('p', romeo, new StanzaError('forbidden')))
    await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
    await juliet.receives(answer('i1', juliet, '<items node="sonnets"/>'))
  },
)

conversation(
  'XEP-0060 §4.3: nodes that keep nothing, that send no payloads, and that do neither',
  options,
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await creates(juliet, 'news', { persist_items: '0' })
    await creates(juliet, 'hints', { deliver_payloads: '0' })
    await creates(juliet, 'bell', { persist_items: '0', deliver_payloads: '0' })
    for (const node of ['news', 'hints', 'bell']) await subscribes(romeo, node)
    await publishes(juliet, 'news', '1')
    await romeo.receives(event(romeo.jid, `<items node="news">${item('1')}</items>`))
    await publishes(juliet, 'hints', '2')
    await romeo.receives(event(romeo.jid, '<items node="hints"><item id="2"/></items>'))
    await romeo.sends(ask('get', 'i1', '<items node="hints"/>'))
    await romeo.receives(answer('i1', romeo, `<items node="hints">${item('2')}</items>`))
    await juliet.sends(ask('set', 'p1', `<publish node="bell"/>`))
    await juliet.receives(answer('p1', juliet, '<publish node="bell"/>'))
    await romeo.receives(event(romeo.jid, '<items node="bell"/>'))
    // §7.1.3.7
    await juliet.sends(ask('set', 'p2', `<publish node="bell">${item('1')}</publish>`))
    await juliet.receives(refused('p2', juliet, refusal('bad-request', 'item-forbidden')))
    await juliet.sends(ask('set', 'p3', '<publish node="news"/>'))
    await juliet.receives(refused('p3', juliet, refusal('bad-request', 'payload-required')))
    await juliet.sends(ask('set', 'p4', '<publish node="hints"><item id="3"/></publish>'))
    await juliet.receives(answer('p4', juliet, '<publish node="hints"><item id="3"/></publish>'))
  },
)

conversation('XEP-0060 §7.1.5: publish-options are preconditions', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'sonnets', { access_model: 'whitelist', max_items: 'max' })
  const publish = (id: string, fields: Readonly<Record<string, string>>) =>
    ask(
      'set',
      id,
      `<publish node="sonnets">${item(id)}</publish><publish-options>${form('publish-options', fields)}</publish-options>`,
    )
  await juliet.sends(publish('1', { access_model: 'whitelist', persist_items: 'true', max_items: '1000' }))
  await juliet.receives(answer('1', juliet, '<publish node="sonnets"><item id="1"/></publish>'))
  await juliet.sends(publish('2', { access_model: 'open' }))
  await juliet.receives(refused('2', juliet, refusal('conflict', 'precondition-not-met')))
  await juliet.sends(publish('3', { color: 'red' }))
  await juliet.receives(
    refused('3', juliet, new StanzaError('not-acceptable', { text: 'pubsub#color cannot be what it should be' })),
  )
  await juliet.sends(ask('set', '4', `<publish node="sonnets">${item('4')}</publish><publish-options/>`))
  await juliet.receives(refused('4', juliet, new StanzaError('bad-request')))
  await juliet.sends(
    ask('set', '5', `<publish node="sonnets">${item('5')}</publish><publish-options>${config({})}</publish-options>`),
  )
  await juliet.receives(refused('5', juliet, new StanzaError('bad-request')))
  await juliet.sends(ask('get', 'i1', '<items node="sonnets"/>'))
  await juliet.receives(answer('i1', juliet, `<items node="sonnets">${item('1')}</items>`))
})

conversation('XEP-0060 §7.2: an item is retracted, and subscribers hear of it when they should', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets', { notify_retract: '0', send_last_published_item: 'never' })
  await subscribes(romeo, 'sonnets')
  await publishes(juliet, 'sonnets', '1', '2')
  await romeo.ignores()
  await juliet.sends(ask('set', 'r1', '<retract node="sonnets"><item id="1"/></retract>'))
  await juliet.receives(answer('r1', juliet))
  await romeo.receivesNothing()
  await juliet.sends(ask('set', 'r2', '<retract node="sonnets" notify="1"><item id="2"/></retract>'))
  await juliet.receives(answer('r2', juliet))
  await romeo.receives(event(romeo.jid, '<items node="sonnets"><retract id="2"/></items>'))

  // §7.2.3
  await publishes(juliet, 'sonnets', '3')
  await romeo.ignores()
  for (const [payload, error] of [
    ['<retract node="odes"><item id="1"/></retract>', new StanzaError('item-not-found')],
    ['<retract node="sonnets"><item id="1"/></retract>', new StanzaError('item-not-found')],
    ['<retract node="sonnets"><item id="3"/><item id="1"/></retract>', new StanzaError('item-not-found')],
    ['<retract><item id="1"/></retract>', refusal('bad-request', 'nodeid-required')],
    ['<retract node="sonnets"/>', refusal('bad-request', 'item-required')],
    ['<retract node="sonnets"><item/></retract>', refusal('bad-request', 'item-required')],
  ] as const) {
    await juliet.sends(ask('set', 'r', payload))
    await juliet.receives(refused('r', juliet, error))
  }
  await romeo.sends(ask('set', 'r3', '<retract node="sonnets"><item id="3"/></retract>'))
  await romeo.receives(refused('r3', romeo, new StanzaError('forbidden')))
  await creates(juliet, 'news', { persist_items: '0' })
  await juliet.sends(ask('set', 'r4', '<retract node="news"><item id="1"/></retract>'))
  await juliet.receives(refused('r4', juliet, unsupported('persistent-items')))
})

conversation('XEP-0060 §4.1: where everybody publishes, everybody retracts what is theirs', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'wall', { publish_model: 'open', itemreply: 'publisher' })
  await publishes(juliet, 'wall', '1')
  await publishes(romeo, 'wall', '2')
  await romeo.sends(ask('get', 'i1', '<items node="wall"/>'))
  // §7.1.2.3
  await romeo.receives(
    answer(
      'i1',
      romeo,
      xml`<items node="wall"><item id="1" publisher="${juliet.bareJid}">${note('1')}</item><item id="2" publisher="${romeo.bareJid}">${note('2')}</item></items>`,
    ),
  )
  await romeo.sends(ask('set', 'r1', '<retract node="wall"><item id="1"/></retract>'))
  await romeo.receives(refused('r1', romeo, new StanzaError('forbidden')))
  await romeo.sends(ask('set', 'r2', '<retract node="wall"><item id="2"/></retract>'))
  await romeo.receives(answer('r2', romeo))
  await juliet.sends(ask('get', 'i2', '<items node="wall"/>'))
  await juliet.receives(
    answer('i2', juliet, xml`<items node="wall"><item id="1" publisher="${juliet.bareJid}">${note('1')}</item></items>`),
  )
})

conversation('XEP-0060 §16.4.4: subscribers publish where the node says so', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'wall', { publish_model: 'subscribers' })
  await romeo.sends(ask('set', 'p1', `<publish node="wall">${item('1')}</publish>`))
  await romeo.receives(refused('p1', romeo, new StanzaError('forbidden')))
  await subscribes(romeo, 'wall')
  await romeo.sends(ask('set', 'p2', `<publish node="wall">${item('1')}</publish>`))
  await romeo.receivesInAnyOrder(
    event(romeo.jid, `<items node="wall">${item('1')}</items>`),
    answer('p2', romeo, '<publish node="wall"><item id="1"/></publish>'),
  )
})

conversation('XEP-0060 §7.1.2.5: of a full node the oldest item goes, or nothing comes', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'two', { max_items: '2' })
  await subscribes(romeo, 'two')
  await publishes(juliet, 'two', '1', '2')
  await romeo.ignores()
  await publishes(juliet, 'two', '3')
  await romeo.receives(
    event(romeo.jid, '<items node="two"><retract id="1"/></items>'),
    event(romeo.jid, `<items node="two">${item('3')}</items>`),
  )
  await romeo.sends(ask('get', 'i1', '<items node="two"/>'))
  await romeo.receives(answer('i1', romeo, `<items node="two">${item('2')}${item('3')}</items>`))
  // §12.11
  await juliet.sends(ask('set', 'p1', `<publish node="two">${item('4')}${item('5')}${item('6')}</publish>`))
  await juliet.receives(refused('p1', juliet, refusal('not-allowed', 'max-items-exceeded')))

  await creates(juliet, 'quiet', { max_items: '1', publish_node_full: 'discard-oldest' })
  await subscribes(romeo, 'quiet')
  await publishes(juliet, 'quiet', '1', '2')
  await romeo.receives(
    event(romeo.jid, `<items node="quiet">${item('1')}</items>`),
    event(romeo.jid, `<items node="quiet">${item('2')}</items>`),
  )
  await creates(juliet, 'full', { max_items: '1', publish_node_full: 'reject' })
  await publishes(juliet, 'full', '1', '1')
  await juliet.sends(ask('set', 'p2', `<publish node="full">${item('2')}</publish>`))
  await juliet.receives(refused('p2', juliet, refusal('conflict', 'node-full')))
})

conversation('XEP-0060 §16.4.4: an item goes when its time is over', options, async ({ connect, clock }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'news', { item_expire: '60' })
  await subscribes(romeo, 'news')
  await publishes(juliet, 'news', '1')
  clock.advance('40s')
  await publishes(juliet, 'news', '2')
  await romeo.ignores()
  clock.advance('20s')
  await romeo.sends(ask('get', 'i1', '<items node="news"/>'))
  await romeo.receivesInAnyOrder(
    answer('i1', romeo, `<items node="news">${item('2')}</items>`),
    event(romeo.jid, '<items node="news"><retract id="1"/></items>'),
  )
  clock.advance('60s')
  await publishes(juliet, 'news', '3')
  await romeo.receives(
    event(romeo.jid, '<items node="news"><retract id="2"/></items>'),
    event(romeo.jid, `<items node="news">${item('3')}</items>`),
  )
})

conversation('XEP-0060 §6.5: all items, the most recent, these, or a page', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'sonnets')
  await publishes(juliet, 'sonnets', '1', '2', '3', '4', '5')
  const reads = async (attributes: string, inner: string, beside: string, ids: readonly string[], rsm = '') => {
    await juliet.sends(ask('get', 'i', `<items node="sonnets"${attributes}>${inner}</items>${beside}`))
    await juliet.receives(answer('i', juliet, `<items node="sonnets">${ids.map((id) => item(id)).join('')}</items>${rsm}`))
  }
  await reads('', '', '', ['1', '2', '3', '4', '5'])
  await reads(' max_items="2"', '', '', ['4', '5'])
  await reads(' max_items="9"', '', '', ['1', '2', '3', '4', '5'])
  await reads('', '<item id="4"/><item id="2"/><item id="x"/>', '', ['2', '4'])
  // §6.5.9.12
  await reads('', '<item id="x"/>', '', [])
  // §6.5.4
  await reads('', '', page('<max>2</max>'), ['1', '2'], set('1', '2', 0, 5))
  await reads('', '', page('<max>2</max>', '<after>2</after>'), ['3', '4'], set('3', '4', 2, 5))
  await reads('', '', page('<max>2</max>', '<before/>'), ['4', '5'], set('4', '5', 3, 5))
  await reads('', '', page('<max>2</max>', '<before>3</before>'), ['1', '2'], set('1', '2', 0, 5))
  await reads('', '', page('<max>2</max>', '<index>4</index>'), ['5'], set('5', '5', 4, 5))
  await reads('', '', page('<max>0</max>'), [], page('<count>5</count>'))
  for (const [attributes, beside, error] of [
    ['', page('<max>2</max>', '<after>x</after>'), new StanzaError('item-not-found')],
    ['', page('<max>2</max>', '<index>6</index>'), new StanzaError('item-not-found')],
    ['', page('<max>-1</max>'), new StanzaError('bad-request')],
    [' max_items="many"', '', new StanzaError('bad-request')],
  ] as const) {
    await juliet.sends(ask('get', 'i', `<items node="sonnets"${attributes}/>${beside}`))
    await juliet.receives(refused('i', juliet, error))
  }
  await juliet.sends(ask('get', 'i', '<items node="odes"/>'))
  await juliet.receives(refused('i', juliet, new StanzaError('item-not-found')))
  // §6.5.9.5
  await creates(juliet, 'shelf', { node_type: 'collection' })
  await juliet.sends(ask('get', 'i', '<items node="shelf"/>'))
  await juliet.receives(refused('i', juliet, unsupported('retrieve-items')))
})

conversation('XEP-0060 §6.5.4: an answer that would be too large says that there is more', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await creates(juliet, 'long', { max_items: '1000' })
  const text = 'x'.repeat(11_000)
  for (let i = 0; i < 120; i++) {
    await juliet.sends(ask('set', 'p', `<publish node="long">${item(String(i), note(text))}</publish>`))
    await juliet.receives(answer('p', juliet, `<publish node="long"><item id="${i}"/></publish>`))
  }
  await juliet.sends(ask('get', 'i', '<items node="long"/>'))
  const shown = Array.from({ length: 95 }, (_, i) => item(String(i), note(text)))
  await juliet.receives(answer('i', juliet, `<items node="long">${shown.join('')}</items>${set('0', '94', 0, 120)}`))
})

conversation('XEP-0060 §4.5: who may read', options, async ({ connect, befriend }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const romeo = await connect('romeo@verona.example/orchard')
  const tybalt = await connect('tybalt@verona.example/square')
  await befriend(juliet, romeo)
  await juliet.sends(
    xml`<iq type="set" id="r"><query xmlns="jabber:iq:roster"><item jid="${romeo.bareJid}"><group>Loved</group></item></query></iq>`,
  )
  await juliet.ignores()
  await creates(juliet, 'open', { access_model: 'open' })
  await creates(juliet, 'presence', { access_model: 'presence' })
  await creates(juliet, 'loved', { access_model: 'roster', roster_groups_allowed: ['Loved', 'Family'] })
  await creates(juliet, 'hated', { access_model: 'roster', roster_groups_allowed: 'Hated' })
  await creates(juliet, 'authorize', { access_model: 'authorize' })
  await creates(juliet, 'whitelist', { access_model: 'whitelist' })
  const refusals = {
    presence: refusal('not-authorized', 'presence-subscription-required'),
    loved: refusal('not-authorized', 'not-in-roster-group'),
    hated: refusal('not-authorized', 'not-in-roster-group'),
    authorize: refusal('not-authorized', 'not-subscribed'),
    whitelist: refusal('not-allowed', 'closed-node'),
  } as const
  for (const [actor, mayRead] of [
    [juliet, ['open', 'presence', 'loved', 'hated', 'authorize', 'whitelist']],
    [romeo, ['open', 'presence', 'loved']],
    [tybalt, ['open']],
  ] as const)
    for (const node of ['open', 'presence', 'loved', 'hated', 'authorize', 'whitelist'] as const) {
      await actor.sends(ask('get', 'i', `<items node="${node}"/>`))
      if (node === 'open' || mayRead.some((each) => each === node))
        await actor.receives(answer('i', actor, `<items node="${node}"/>`))
      else await actor.receives(refused('i', actor, refusals[node]))
    }
})

conversation('XEP-0060 §7.1: what one node is sent comes out in the order it came in', options, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const nurse = await connect('juliet@verona.example/chamber')
  const romeo = await connect('romeo@verona.example/orchard')
  await creates(juliet, 'sonnets')
  await subscribes(romeo, 'sonnets')
  await Promise.all(
    [juliet, nurse].map(async (actor, i) => {
      for (let n = 0; n < 10; n++) await actor.sends(ask('set', 'p', `<publish node="sonnets">${item(`${i}-${n}`)}</publish>`))
    }),
  )
  const heard = (await romeo.collects()).map((message) => message.getChildren()[0]?.getChildren()[0]?.getChildren()[0]?.attrs.id)
  await juliet.ignores()
  await juliet.sends(ask('get', 'i', '<items node="sonnets"/>'))
  await juliet.receives(answer('i', juliet, `<items node="sonnets">${heard.map((id) => item(id ?? '')).join('')}</items>`))
})

conversation(
  'XEP-0060 §16.4.4: notifications may be switched off, or be messages that wait',
  options,
  async ({ connect, comesOnline }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const romeo = await connect('romeo@verona.example/orchard')
    await creates(juliet, 'silent', { deliver_notifications: '0' })
    await creates(juliet, 'letters', { notification_type: 'normal' })
    await subscribes(romeo, 'silent')
    await publishes(juliet, 'silent', '1')
    await romeo.receivesNothing()
    await romeo.sends(ask('set', 's1', `<subscribe node="letters" jid="${romeo.bareJid}"/>`))
    await romeo.ignores()
    await romeo.leaves()
    await publishes(juliet, 'letters', '1')
    const later = await comesOnline('romeo@verona.example/chamber')
    await juliet.sends(own('set', 'd', '<delete node="letters"/>'))
    await juliet.receives(answer('d', juliet))
    await later.ignores()
  },
)
