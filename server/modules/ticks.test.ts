import { expect } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { carbons } from './carbons.ts'
import { disco } from './disco.ts'
import { offline } from './offline.ts'
import { type TicksApi, ticks } from './ticks.ts'

const modules = [offline, carbons, disco, ticks]
const memory = { modules, carriers: ['memory'] } as const
const NS = 'urn:waxwing:ticks:0'
const SM = 'urn:xmpp:sm:3'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
/** The fake clock begins here. */
const NOW = '2026-01-01T00:00:00.000Z'

const enables = async (...actors: readonly Actor[]) => {
  for (const actor of actors) {
    await actor.sends(xml`<iq type="set" id="e1"><enable xmlns="${NS}"/></iq>`)
    await actor.receives(xml`<iq type="result" id="e1" from="${actor.bareJid}" to="${actor.jid}"/>`)
  }
}
const says = (to: string, id: string, more = '') =>
  xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body>${more}</message>`
const displayed = (to: string, id: string, more = '') =>
  xml`<message to="${to}"><displayed xmlns="urn:xmpp:chat-markers:0" id="${id}"/>${more}</message>`

const pushed = (to: Actor, ...changes: readonly string[]) =>
  xml`<message from="${to.bareJid}" to="${to.jid}"><ticks xmlns="${NS}">${changes.join('')}</ticks><no-store xmlns="urn:xmpp:hints"/></message>`
const tick = (peer: string, messageId: string, state: string, stamp = NOW) =>
  `<tick id="${any}" message-id="${messageId}" peer="${peer}" state="${state}" stamp="${stamp}"/>`
/** A message to Juliet is committed, and then taken. */
const goes = (to: Actor, messageId: string) =>
  ['sent', 'delivered'].map((state) => pushed(to, tick(JULIET, messageId, state))).join('')
const watermark = (peer: string, stamp = NOW) => `<watermark peer="${peer}" id="${any}" stamp="${stamp}"/>`
const asks = (...names: readonly string[]) => xml`<iq type="get" id="q1"><ticks xmlns="${NS}">${names.join('')}</ticks></iq>`
const called = (peer: string, messageId: string) => `<tick peer="${peer}" message-id="${messageId}"/>`

/** What the account knows of one of its messages. */
const stateOf = async (actor: Actor, peer: string, messageId: string): Promise<string | undefined> => {
  await actor.ignores()
  await actor.sends(asks(called(peer, messageId)))
  return (await actor.next()).getChild('ticks', NS)?.getChild('tick')?.attrs.state
}

/** What the actor has been told of messages: message-id, state and time. */
const told = async (actor: Actor) =>
  (await actor.collects())
    .flatMap((stanza) => stanza.getChild('ticks', NS)?.getChildren('tick') ?? [])
    .map(({ attrs }) => [attrs['message-id'], attrs.state, attrs.stamp])

/** Juliet and Romeo, who see each other; what they may have been told is forgotten. */
const couple = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  await scene.befriend(juliet, romeo)
  return { juliet, romeo }
}
/** Juliet and Romeo at two nodes: that he does not want to be told is known at hers, and m2 is under way to her. */
const hushed = async (scene: Scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'm1'))
  await juliet.ignores()
  await juliet.stalls()
  await romeo.sends(says(JULIET, 'm2'))
  return { juliet, romeo }
}
const another = async (scene: Scene, ...known: readonly Actor[]) => {
  const actor = await scene.comesOnline(`${known[0]?.bareJid}/another`)
  for (const each of known) await each.ignores()
  return actor
}

conversation('ticks §6: an account says that it has ticks', { modules }, async (scene) => {
  const { juliet } = await couple(scene)
  await juliet.sends(xml`<iq type="get" id="d1" to="${JULIET}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
  const query = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
  expect(query?.getChildren('feature').map(({ attrs }) => attrs.var)).toContain(NS)
})

conversation('ticks §5.1: one tick, two ticks, blue ticks', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await enables(romeo)
  await juliet.stalls()
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.receives(pushed(romeo, tick(JULIET, 'm1', 'sent')))
  scene.clock.advance('1s')
  await juliet.stalls(false)
  await romeo.receives(pushed(romeo, tick(JULIET, 'm1', 'delivered', '2026-01-01T00:00:01.000Z')))
  scene.clock.advance('1m')
  await juliet.sends(displayed(ROMEO, 'm1'))
  await romeo.receivesInAnyOrder(
    xml`<message from="${juliet.jid}" to="${ROMEO}"><displayed xmlns="urn:xmpp:chat-markers:0" id="m1"/><stanza-id xmlns="urn:xmpp:sid:0" by="${ROMEO}" id="${any}"/></message>`,
    pushed(romeo, tick(JULIET, 'm1', 'read', '2026-01-01T00:01:01.000Z')),
  )
})

conversation(
  'ticks §3: the id that a sender is told is that of its own archive and of the recipient’s copy',
  memory,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await enables(romeo)
    await romeo.sends(says(JULIET, 'm1'))
    const [push] = await romeo.collects()
    const copy = await juliet.next()
    const id = push?.getChild('ticks', NS)?.getChild('tick')?.attrs.id
    expect(id).toMatch(/^[0-9a-v]{11}$/)
    expect(copy.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id).toBe(id)
    await romeo.sends(asks(`<tick id="${id}"/>`))
    await romeo.receives(
      xml`<iq type="result" id="q1" from="${ROMEO}" to="${romeo.jid}"><ticks xmlns="${NS}">${tick(JULIET, 'm1', 'delivered')}</ticks></iq>`,
    )
  },
)

conversation(
  'ticks §3: a message without an id attribute is known by its origin-id, and one without either by the archive’s',
  memory,
  async (scene) => {
    const { romeo } = await couple(scene)
    await enables(romeo)
    await romeo.sends(
      xml`<message type="chat" to="${JULIET}"><body>!</body><origin-id xmlns="urn:xmpp:sid:0" id="o1"/></message>`,
    )
    await romeo.receives(goes(romeo, 'o1'))
    await romeo.sends(xml`<message type="chat" to="${JULIET}"><body>?</body></message>`)
    await romeo.receives(
      ...['sent', 'delivered'].map((state) =>
        pushed(romeo, `<tick id="${any}" peer="${JULIET}" state="${state}" stamp="${NOW}"/>`),
      ),
    )
  },
)

conversation(
  'ticks §5.1: what happens in one moment is told together, and of each message the last state',
  memory,
  async (scene) => {
    const { romeo } = await couple(scene)
    await enables(romeo)
    await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2') + says(JULIET, 'm3'))
    await romeo.receives(pushed(romeo, ...['m1', 'm2', 'm3'].map((id) => tick(JULIET, id, 'sent'))))
    const later = await told(romeo)
    expect(later).toEqual(['m1', 'm2', 'm3'].map((id) => [id, 'delivered', NOW]))
  },
)

conversation(
  'ticks §5.1: every session that wants to be told is, whoever sent it, and the others are not',
  memory,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const phone = await another(scene, romeo, juliet)
    const third = await scene.comesOnline(`${ROMEO}/third`)
    for (const actor of [romeo, phone, juliet]) await actor.ignores()
    await enables(romeo, phone)
    await third.sends(says(JULIET, 'm1'))
    for (const actor of [romeo, phone]) await actor.receives(goes(actor, 'm1'))
    await third.receivesNothing()
    await romeo.sends(xml`<iq type="set" id="e2"><disable xmlns="${NS}"/></iq>`)
    await romeo.receives(xml`<iq type="result" id="e2" from="${ROMEO}" to="${romeo.jid}"/>`)
    await third.sends(says(JULIET, 'm2'))
    await phone.receives(goes(phone, 'm2'))
    await romeo.receivesNothing()
  },
)

conversation('ticks §9: nobody enables, disables or asks for another', memory, async (scene) => {
  const { juliet } = await couple(scene)
  for (const [type, payload] of [
    ['set', 'enable'],
    ['set', 'disable'],
    ['get', 'ticks'],
    ['get', 'chats'],
  ]) {
    await juliet.sends(xml`<iq type="${type}" id="x1" to="${ROMEO}"><${payload} xmlns="${NS}"/></iq>`)
    await juliet.receives(refusal('forbidden', { id: 'x1', from: ROMEO, to: juliet.jid }))
  }
})

conversation('ticks §3: only what people write has ticks', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await enables(romeo)
  for (const content of [
    '<received xmlns="urn:xmpp:receipts" id="m0"/>',
    '<active xmlns="http://jabber.org/protocol/chatstates"/>',
    '<body>off the record</body><no-store xmlns="urn:xmpp:hints"/>',
  ])
    await romeo.sends(xml`<message type="chat" to="${JULIET}" id="m1">${content}</message>`)
  await romeo.sends(xml`<message type="headline" to="${JULIET}" id="m1"><body>News</body></message>`)
  await juliet.ignores()
  await romeo.receivesNothing()
})

conversation('ticks §4: delivered is when the first of two devices takes it, and once', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const phone = await another(scene, juliet, romeo)
  await phone.stalls()
  await enables(romeo)
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.receives(goes(romeo, 'm1'))
  scene.clock.advance('1h')
  await phone.stalls(false)
  await romeo.receivesNothing()
  await romeo.sends(asks(called(JULIET, 'm1')))
  await romeo.receives(
    xml`<iq type="result" id="q1" from="${ROMEO}" to="${romeo.jid}"><ticks xmlns="${NS}">${tick(JULIET, 'm1', 'delivered')}</ticks></iq>`,
  )
})

conversation('ticks §4: a message for somebody who is away is delivered when a device comes', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await juliet.leaves()
  await romeo.ignores()
  await enables(romeo)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2'))
  await romeo.receives(pushed(romeo, tick(JULIET, 'm1', 'sent') + tick(JULIET, 'm2', 'sent')))
  scene.clock.advance('2h')
  await scene.comesOnline(juliet.jid)
  const later = '2026-01-01T02:00:00.000Z'
  expect(await told(romeo)).toEqual([
    ['m1', 'delivered', later],
    ['m2', 'delivered', later],
  ])
})

conversation('ticks §5.1: what was sent before anybody wanted to be told is told when it changes', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await juliet.leaves()
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.ignores()
  await enables(romeo)
  await scene.comesOnline(juliet.jid)
  expect(await told(romeo)).toEqual([['m1', 'delivered', NOW]])
})

conversation(
  'ticks §5.1: what was sent between nodes before its account wanted to be told is told when it changes',
  { ...memory, nodes: 2 },
  async (scene) => {
    const { juliet, romeo } = await hushed(scene)
    await enables(romeo)
    await juliet.stalls(false)
    expect(await told(romeo)).toEqual([['m2', 'delivered', NOW]])
    await romeo.sends(says(JULIET, 'm3'))
    expect((await told(romeo)).at(-1)).toEqual(['m3', 'delivered', NOW])
  },
)

for (const [where, others] of [
  ['at another node', 0],
  ['where he was', 1],
] as const)
  conversation(
    `ticks §5.1: who comes back ${where} and wants to be told is told what was sent before`,
    { ...memory, nodes: 2 },
    async (scene) => {
      const { juliet, romeo } = await hushed(scene)
      await romeo.leaves()
      for (let other = 0; other < others; other++) await scene.comesOnline('tybalt@verona.example/square')
      const again = await scene.comesOnline(romeo.jid)
      await enables(again)
      await juliet.stalls(false)
      expect(await told(again)).toEqual([['m2', 'delivered', NOW]])
    },
  )

conversation(
  'ticks §8: a stranger at another node, who then becomes a contact and wants to be told, is told of what is under way',
  { ...memory, nodes: 2 },
  async (scene) => {
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    await romeo.sends(says(JULIET, 'm1'))
    await juliet.ignores()
    await romeo.sends(says(JULIET, 'm2'))
    await scene.befriend(juliet, romeo)
    await juliet.ignores()
    await juliet.stalls()
    await romeo.sends(says(JULIET, 'm3'))
    await enables(romeo)
    await juliet.stalls(false)
    expect(await told(romeo)).toEqual([['m3', 'delivered', NOW]])
  },
)

conversation('ticks §2: after a restart of the server states are what they were, and go on', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2'))
  await juliet.sends(displayed(ROMEO, 'm1'))
  await juliet.leaves()
  await romeo.sends(says(JULIET, 'm3'))
  await scene.dies()
  const again = await scene.comesOnline(romeo.jid)
  expect(await stateOf(again, JULIET, 'm1')).toBe('read')
  expect(await stateOf(again, JULIET, 'm2')).toBe('delivered')
  expect(await stateOf(again, JULIET, 'm3')).toBe('sent')
  await enables(again)
  const back = await scene.comesOnline(juliet.jid)
  await again.sends('')
  expect((await told(again)).map(([id, state]) => [id, state])).toEqual([['m3', 'delivered']])
  await back.sends(displayed(ROMEO, 'm1') + displayed(ROMEO, 'm2'))
  expect(await stateOf(again, JULIET, 'm2')).toBe('read')
  expect(await stateOf(again, JULIET, 'm3')).toBe('delivered')
})

conversation(
  'ticks §7.1: the watermark is durable before the marker goes on: a server that dies in between has both',
  memory,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await romeo.sends(says(JULIET, 'm1'))
    await romeo.ignores()
    await juliet.sends(displayed(ROMEO, 'm1'))
    expect((await romeo.collects()).length).toBe(1)
    await scene.dies()
    expect(await stateOf(await scene.comesOnline(romeo.jid), JULIET, 'm1')).toBe('read')
  },
)

conversation('ticks §5.1: a resumed session goes on, and gets what happened meanwhile', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await enables(romeo)
  await romeo.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const enabled = await romeo.next()
  await juliet.stalls()
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.ignores()
  await romeo.vanishes()
  await juliet.stalls(false)
  await juliet.sends(displayed(ROMEO, 'm1'))
  const again = await scene.visit()
  await again.logsIn('romeo', 'secret')
  await again.sends(`<resume xmlns="${SM}" previd="${enabled.attrs.id}" h="0"/>`)
  again.is(romeo.jid)
  expect((await told(again)).at(-1)).toEqual(['m1', 'read', NOW])
  await again.sends(says(JULIET, 'm2'))
  expect((await told(again)).at(-1)).toEqual(['m2', 'delivered', NOW])
})

conversation('ticks §5.1: a session that is gone wants nothing more, and a new one is asked anew', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await enables(romeo)
  await romeo.leaves()
  const again = await scene.comesOnline(romeo.jid)
  await juliet.ignores()
  await again.sends(says(JULIET, 'm1'))
  await again.receivesNothing()
})

// ---- reading

for (const [what, to] of [
  ['to the account', ROMEO],
  ['to a device', `${ROMEO}/orchard`],
] as const)
  conversation(
    `ticks §7.1: a marker ${what} from any device of the reader’s moves both watermarks, and all devices agree`,
    memory,
    async (scene) => {
      const { juliet, romeo } = await couple(scene)
      const chamber = await another(scene, juliet, romeo)
      await enables(juliet, chamber, romeo)
      await romeo.sends(says(JULIET, 'm1'))
      for (const actor of [juliet, chamber, romeo]) await actor.ignores()
      await chamber.sends(displayed(to, 'm1'))
      await juliet.receives(pushed(juliet, watermark(ROMEO)))
      await chamber.receives(pushed(chamber, watermark(ROMEO)))
      expect(await stateOf(romeo, JULIET, 'm1')).toBe('read')
    },
  )

conversation('ticks §7.1: a marker out of order moves nothing back, and says nothing', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await enables(romeo, juliet)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2') + says(JULIET, 'm3'))
  await juliet.sends(displayed(ROMEO, 'm2'))
  for (const actor of [romeo, juliet]) await actor.ignores()
  for (const id of ['m1', 'm2']) await juliet.sends(displayed(ROMEO, id))
  await juliet.receivesNothing()
  expect((await romeo.collects()).filter((each) => each.getChild('ticks', NS) !== undefined)).toEqual([])
  expect(await stateOf(romeo, JULIET, 'm2')).toBe('read')
  expect(await stateOf(romeo, JULIET, 'm3')).toBe('delivered')
})

for (const [what, marker] of [
  ['an id nobody knows', displayed(ROMEO, 'm7')],
  ['an id of the reader’s own message', displayed(ROMEO, 'own')],
  ['an id of a message from somebody else', displayed(ROMEO, 'other')],
  ['no id', xml`<message to="${ROMEO}"><displayed xmlns="urn:xmpp:chat-markers:0"/></message>`],
  ['an empty id', displayed(ROMEO, '')],
  ['an id that is far too long', displayed(ROMEO, 'x'.repeat(5_000))],
  ['an id that looks like one of the archive', displayed(ROMEO, '00vb4k2s800')],
  ['an error that holds a marker', displayed(ROMEO, 'm1').replace('<message', '<message type="error"')],
  ['a mere wish for markers', xml`<message to="${ROMEO}"><markable xmlns="urn:xmpp:chat-markers:0"/></message>`],
] as const)
  conversation(`ticks §7.1: ${what} moves nothing`, memory, async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const tybalt = await scene.comesOnline('tybalt@verona.example/square')
    await tybalt.sends(says(JULIET, 'other'))
    await romeo.sends(says(JULIET, 'm1'))
    await juliet.sends(says(ROMEO, 'own'))
    await juliet.ignores()
    await enables(juliet)
    await juliet.sends(marker)
    await juliet.receivesNothing()
    expect(await stateOf(romeo, JULIET, 'm1')).toBe('delivered')
  })

for (const [what, name] of [
  ['by the id attribute', (_: string) => 'm1'],
  ['by the origin-id', (_: string) => 'o1'],
  ['by the stanza-id of the reader’s archive', (stanzaId: string) => stanzaId],
] as const)
  conversation(`ticks §7.1: a marker may name a message ${what}`, memory, async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await romeo.sends(says(JULIET, 'm1', '<origin-id xmlns="urn:xmpp:sid:0" id="o1"/>'))
    const stanzaId = (await juliet.next()).getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''
    await juliet.sends(displayed(ROMEO, name(stanzaId)))
    expect(await stateOf(romeo, JULIET, 'm1')).toBe('read')
  })

conversation('ticks §7.1: an id with characters that need escaping is found however it is escaped', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(xml`<message type="chat" to="${JULIET}" id='a&#38;"&lt;1'><body>?</body></message>`)
  await juliet.sends(displayed(ROMEO, 'a&amp;&quot;&#x3c;1'))
  expect(await stateOf(romeo, JULIET, 'a&amp;&quot;&lt;1')).toBe('read')
})

conversation('ticks §8: what is read by MDS is read on all own devices, and the sender sees two ticks', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const chamber = await another(scene, juliet, romeo)
  await enables(juliet, chamber, romeo)
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.receives(goes(romeo, 'm1'))
  const stanzaId = (await juliet.next()).getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''
  await chamber.ignores()
  const api = scene.server.apis.get('ticks') as TicksApi
  const [me, peer] = [juliet.bareJid, romeo.bareJid]
  expect(await api.moveWatermark(me, peer, stanzaId)).toBe(true)
  expect(await api.moveWatermark(me, peer, stanzaId)).toBe(false)
  for (const id of ['', 'm1', '00000000000', stanzaId])
    expect(await api.moveWatermark(me, 'nurse@verona.example' as BareJid, id)).toBe(false)
  for (const actor of [juliet, chamber]) await actor.receives(pushed(actor, watermark(ROMEO)))
  await romeo.receivesNothing()
  expect(await stateOf(romeo, JULIET, 'm1')).toBe('delivered')
  await juliet.sends(displayed(ROMEO, 'm1'))
  expect(await stateOf(romeo, JULIET, 'm1')).toBe('read')
})

conversation('ticks §8: an answer tells nobody that it was read', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'm1'))
  await juliet.sends(says(ROMEO, 'm2'))
  expect(await stateOf(romeo, JULIET, 'm1')).toBe('delivered')
})

conversation('ticks §7.1: what one writes to oneself is read', memory, async (scene) => {
  const { romeo } = await couple(scene)
  await enables(romeo)
  await romeo.sends(says(ROMEO, 'm1'))
  expect(await told(romeo)).toEqual([['m1', 'read', NOW]])
  await romeo.sends(displayed(ROMEO, 'm1'))
  expect(await stateOf(romeo, ROMEO, 'm1')).toBe('read')
})

// ---- privacy

conversation(
  'ticks §8: who may not see that somebody is online is not told of deliveries, but of what he is told by a marker',
  memory,
  async (scene) => {
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    const tybalt = await scene.comesOnline('tybalt@verona.example/square')
    await enables(tybalt)
    await tybalt.sends(says(JULIET, 'm1'))
    await tybalt.receives(pushed(tybalt, tick(JULIET, 'm1', 'sent')))
    expect(await stateOf(tybalt, JULIET, 'm1')).toBe('sent')
    await juliet.sends(displayed(tybalt.bareJid, 'm1'))
    expect(await stateOf(tybalt, JULIET, 'm1')).toBe('read')
  },
)

conversation('ticks §8: who is blocked is told no more than who sees an offline account', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await juliet.stalls()
  await enables(romeo)
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.ignores()
  const chamber = await scene.connect(`${JULIET}/chamber`)
  await chamber.sends(xml`<iq type="set" id="b1"><block xmlns="urn:xmpp:blocking"><item jid="${ROMEO}"/></block></iq>`)
  await romeo.ignores()
  await juliet.stalls(false)
  await romeo.receivesNothing()
  expect(await stateOf(romeo, JULIET, 'm1')).toBe('sent')
  await romeo.sends(says(JULIET, 'm2'))
  await romeo.receives(
    refusal('service-unavailable', { kind: 'message', id: 'm2', from: JULIET, to: romeo.jid }).replace('<message', '<message'),
  )
})

conversation('ticks §8: a marker from whom the account blocks moves nothing', memory, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'm1'))
  await romeo.sends(xml`<iq type="set" id="b1"><block xmlns="urn:xmpp:blocking"><item jid="${JULIET}"/></block></iq>`)
  await juliet.sends(displayed(ROMEO, 'm1'))
  expect(await stateOf(romeo, JULIET, 'm1')).toBe('delivered')
})

conversation(
  'ticks §4: what an account that is no more has not taken is sent, and its successor has read nothing of it',
  memory,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await juliet.leaves()
    await romeo.sends(says(JULIET, 'm1'))
    await scene.server.accounts.delete(juliet.bareJid)
    expect(await stateOf(romeo, JULIET, 'm1')).toBe('sent')
    scene.clock.advance('1m')
    await scene.createAccount(JULIET)
    expect(await stateOf(romeo, JULIET, 'm1')).toBe('sent')
  },
)

conversation('ticks §2: while nobody wants to be told, the ledger tells nobody', { ...memory, nodes: 1 }, async (scene) => {
  const { romeo } = await couple(scene)
  const { ledger } = scene.server
  const listeners = () => [ledger.onKept, ledger.onTaken].map((listener) => listener !== undefined)
  expect(listeners()).toEqual([false, false])
  await enables(romeo)
  expect(listeners()).toEqual([true, true])
  await romeo.leaves()
  expect(listeners()).toEqual([false, false])
})
