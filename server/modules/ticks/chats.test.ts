import { expect } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { offline } from '../offline.ts'
import { type TicksApi, ticks } from '../ticks.ts'

const options = { modules: [offline, ticks], carriers: ['memory'] } as const
const NS = 'urn:waxwing:ticks:0'
const RSM = 'http://jabber.org/protocol/rsm'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const NURSE = 'nurse@verona.example'

const says = (to: string, id: string, more = '') =>
  xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body>${more}</message>`
const displayed = (to: string, id: string) =>
  xml`<message to="${to}"><displayed xmlns="urn:xmpp:chat-markers:0" id="${id}"/></message>`
const asks = (content = '') => xml`<iq type="get" id="c1"><chats xmlns="${NS}">${content}</chats></iq>`
const set = (content: string) => `<set xmlns="${RSM}">${content}</set>`

const company = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  const nurse = await scene.comesOnline(`${NURSE}/street`)
  await scene.befriend(juliet, romeo)
  return { juliet, romeo, nurse }
}

const chatsOf = async (actor: Actor, content = '') => {
  await actor.ignores()
  await actor.sends(asks(content))
  const answer = await actor.next()
  return answer.getChild('chats', NS)?.getChildren('chat') ?? []
}
/** Who, and how many unread. */
const unreadOf = async (actor: Actor) => (await chatsOf(actor)).map(({ attrs }) => [attrs.peer, attrs.unread])
const peersOf = async (actor: Actor, content = '') => (await chatsOf(actor, content)).map(({ attrs }) => attrs.peer)

conversation('ticks §5.4: the chat list, whole', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'm1'))
  await juliet.sends(displayed(ROMEO, 'm1'))
  scene.clock.advance('1m')
  await juliet.sends(says(NURSE, 'n1'))
  scene.clock.advance('1m')
  await romeo.sends(says(JULIET, 'm2'))
  await juliet.ignores()
  await juliet.sends(asks())
  const [answer] = await juliet.receives(xml`<iq type="result" id="c1" from="${JULIET}" to="${juliet.jid}"><chats xmlns="${NS}">
    <chat peer="${ROMEO}" unread="1" read="${any}"><last id="${any}" direction="in" stamp="2026-01-01T00:02:00.000Z">
      <forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" from="${romeo.jid}" to="${JULIET}" type="chat" id="m2"><body>m2</body></message></forwarded></last></chat>
    <chat peer="${NURSE}" unread="0" read="${any}"><last id="${any}" direction="out" state="sent" stamp="2026-01-01T00:01:00.000Z">
      <forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" from="${juliet.jid}" to="${NURSE}" type="chat" id="n1"><body>n1</body></message></forwarded></last></chat>
    <set xmlns="${RSM}"><first>${any}</first><last>${any}</last></set></chats></iq>`)
  const [first, second] = answer?.getChild('chats', NS)?.getChildren('chat') ?? []
  const idOf = (chat: typeof first) => chat?.getChild('last')?.attrs.id
  const page = answer?.getChild('chats', NS)?.getChild('set', RSM)
  expect([page?.getChildText('first'), page?.getChildText('last')]).toEqual([idOf(first), idOf(second)])
  // What she wrote last she has read.
  expect(second?.attrs.read).toBe(idOf(second))
  const [romeos] = await chatsOf(romeo)
  expect(romeos?.attrs).toMatchObject({ peer: JULIET, unread: '0', theirs: first?.attrs.read })
  expect(romeos?.getChild('last')?.attrs.state).toBe('delivered')
})

conversation('ticks §5.4: who has never written nor been written to has an empty list', options, async (scene) => {
  const { juliet } = await company(scene)
  await juliet.sends(asks())
  await juliet.receives(
    xml`<iq type="result" id="c1" from="${JULIET}" to="${juliet.jid}"><chats xmlns="${NS}"><set xmlns="${RSM}"/></chats></iq>`,
  )
})

conversation(
  'ticks §5.4: unread are the peer’s messages behind the watermark, exactly, on every device',
  options,
  async (scene) => {
    const { juliet, romeo } = await company(scene)
    const chamber = await scene.comesOnline(`${JULIET}/chamber`)
    for (const id of ['m1', 'm2', 'm3', 'm4', 'm5']) await romeo.sends(says(JULIET, id))
    await romeo.sends(xml`<message to="${JULIET}"><received xmlns="urn:xmpp:receipts" id="x"/></message>`)
    await romeo.sends(
      xml`<message to="${JULIET}" type="chat"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>`,
    )
    const both = async () => [await unreadOf(juliet), await unreadOf(chamber)]
    expect(await both()).toEqual([[[ROMEO, '5']], [[ROMEO, '5']]])
    await chamber.sends(displayed(ROMEO, 'm2'))
    expect(await both()).toEqual([[[ROMEO, '3']], [[ROMEO, '3']]])
    await juliet.sends(displayed(ROMEO, 'm1'))
    expect(await both()).toEqual([[[ROMEO, '3']], [[ROMEO, '3']]])
    await juliet.sends(displayed(ROMEO, 'm5'))
    expect(await both()).toEqual([[[ROMEO, '0']], [[ROMEO, '0']]])
  },
)

conversation('ticks §2: after a restart of the server what is unread is what it was', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2') + says(JULIET, 'm3'))
  await juliet.sends(displayed(ROMEO, 'm1'))
  await scene.dies()
  expect(await unreadOf(await scene.comesOnline(`${JULIET}/chamber`))).toEqual([[ROMEO, '2']])
})

conversation(
  'ticks §7.1: who is away has unread messages, and they stay so when a device has taken them',
  options,
  async (scene) => {
    const { juliet, romeo } = await company(scene)
    await juliet.leaves()
    await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2'))
    const back = await scene.comesOnline(juliet.jid)
    expect(await unreadOf(back)).toEqual([[ROMEO, '2']])
  },
)

conversation('ticks §7.1: who answers has read what was before, and nothing that comes after', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2'))
  await juliet.sends(xml`<message to="${ROMEO}"><received xmlns="urn:xmpp:receipts" id="m2"/></message>`)
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '2']])
  await juliet.sends(says(ROMEO, 'answer'))
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '0']])
  await romeo.sends(says(JULIET, 'm3'))
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '1']])
})

conversation('ticks §5.4: many unread messages are counted as exactly as few', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  const many = (from: number, to: number) =>
    romeo.sends(Array.from({ length: to - from }, (_, n) => says(JULIET, `m${from + n}`)).join(''))
  await many(0, 99)
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '99']])
  await many(99, 100)
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '100']])
  await juliet.sends(says(ROMEO, 'answer'))
  await many(100, 250)
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '150']])
  await juliet.sends(displayed(ROMEO, 'm120'))
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '129']])
})

conversation('ticks §7.1: in the conversation with oneself nothing is unread', options, async (scene) => {
  const { juliet } = await company(scene)
  await juliet.sends(says(JULIET, 'note'))
  const [chat] = await chatsOf(juliet)
  expect(chat?.attrs).toMatchObject({ peer: JULIET, unread: '0' })
  expect(chat?.getChild('last')?.attrs).toMatchObject({ direction: 'out', state: 'read' })
})

conversation('ticks §8: what was read by MDS counts as read', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2'))
  const id = (await juliet.next()).getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''
  await (scene.server.apis.get('ticks') as TicksApi).moveWatermark(juliet.bareJid, romeo.bareJid, id)
  expect(await unreadOf(juliet)).toEqual([[ROMEO, '1']])
})

conversation(
  'ticks §5.4: the newest message decides the order, and neither a marker nor a receipt does',
  options,
  async (scene) => {
    const { juliet, romeo, nurse } = await company(scene)
    await romeo.sends(says(JULIET, 'm1'))
    await nurse.sends(says(JULIET, 'n1'))
    expect(await peersOf(juliet)).toEqual([NURSE, ROMEO])
    await juliet.sends(displayed(ROMEO, 'm1'))
    await romeo.sends(xml`<message to="${JULIET}"><received xmlns="urn:xmpp:receipts" id="x"/></message>`)
    expect(await peersOf(juliet)).toEqual([NURSE, ROMEO])
    await juliet.sends(says(ROMEO, 'm2'))
    expect(await peersOf(juliet)).toEqual([ROMEO, NURSE])
  },
)

conversation('ticks §5.4: a long list comes in pages', options, async (scene) => {
  const { juliet } = await company(scene)
  const peers = Array.from({ length: 60 }, (_, n) => `p${n}@verona.example`)
  for (const peer of peers) await scene.createAccount(peer)
  await juliet.sends(peers.map((peer) => says(peer, 'x')).join(''))
  const newest = peers.toReversed()
  expect(await peersOf(juliet)).toEqual(newest.slice(0, 50))
  expect(await peersOf(juliet, set('<max>1000</max>'))).toEqual(newest.slice(0, 50))
  const seen: (string | undefined)[] = []
  for (let after = ''; ; ) {
    const page = await chatsOf(juliet, set(`<max>7</max>${after === '' ? '' : `<after>${after}</after>`}`))
    seen.push(...page.map(({ attrs }) => attrs.peer))
    after = page.at(-1)?.getChild('last')?.attrs.id ?? ''
    if (after === '') break
  }
  expect(seen).toEqual(newest)
  await juliet.sends(asks(set('<max>0</max>')))
  await juliet.receives(
    xml`<iq type="result" id="c1" from="${JULIET}" to="${juliet.jid}"><chats xmlns="${NS}"><set xmlns="${RSM}"><count>60</count></set></chats></iq>`,
  )
})

conversation('ticks §5.4: a message of more than 8 KiB is named and not forwarded', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'long', `<x xmlns="urn:example:x">${'y'.repeat(9_000)}</x>`))
  const [chat] = await chatsOf(juliet)
  expect(chat?.getChild('last')?.children).toEqual([])
})

for (const [what, content, condition] of [
  ['a max that is no number', set('<max>few</max>'), 'bad-request'],
  ['a page by index', set('<index>0</index>'), 'feature-not-implemented'],
  ['a page backwards', set('<before/>'), 'feature-not-implemented'],
  ['a page after what is no id', set('<after>romeo@verona.example</after>'), 'item-not-found'],
] as const)
  conversation(`ticks §9: ${what} of a chat list is refused`, options, async (scene) => {
    const { juliet } = await company(scene)
    await juliet.sends(asks(content))
    const error = (await juliet.next()).getChild('error')
    expect(error?.getChild(condition, 'urn:ietf:params:xml:ns:xmpp-stanzas')).toBeDefined()
  })

conversation('ticks §8: who deletes an account deletes what it has read', options, async (scene) => {
  const { juliet, romeo } = await company(scene)
  await romeo.sends(says(JULIET, 'm1'))
  await juliet.sends(displayed(ROMEO, 'm1'))
  const store = scene.driver.documents('ticks/progress')
  expect((await store.list(JULIET)).length).toBe(1)
  await scene.server.accounts.delete(juliet.bareJid)
  expect(await store.list(JULIET)).toEqual([])
})
