import { expect } from 'vitest'
import { type Actor, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { readElements } from '#server/testing/match.ts'
import {
  asks,
  asksItems,
  eventOf,
  featuresOf,
  itemsOf,
  listens,
  outcome,
  publishes,
  publishOptions,
  retracts,
  toldOf,
} from '#server/testing/pep-stanzas.ts'
import { el } from '#stanzas/element.ts'
import { serialize } from '#stanzas/serialize.ts'
import { bookmarks } from './bookmarks.ts'
import { presence } from './presence.ts'
import { registration } from './registration.ts'

const modules = [presence, bookmarks]
const memory = { modules, carriers: ['memory'] } as const
const NEW = 'urn:xmpp:bookmarks:1'
const OLD = 'storage:bookmarks'
const PRIVATE = 'jabber:iq:private'
const PLAY = 'theplay@conference.verona.example'
const ORCHARD = 'orchard@conference.verona.example'
const OPTIONS = publishOptions({
  persist_items: 'true',
  max_items: 'max',
  send_last_published_item: 'never',
  access_model: 'whitelist',
})
const NOTIFY = '<notify xmlns="urn:xmpp:notification-settings:1"><never/></notify>'

const conference = (inner = '<nick>JC</nick>', attributes = 'name="The Play" autojoin="true"') =>
  `<conference xmlns="${NEW}" ${attributes}>${inner}</conference>`
const entry = (jid: string, inner = '<nick>JC</nick>', attributes = 'name="The Play" autojoin="true"') =>
  `<conference xmlns="${OLD}" jid="${jid}" ${attributes}>${inner}</conference>`
const storage = (...entries: readonly string[]) => `<storage xmlns="${OLD}">${entries.join('')}</storage>`
const adds = (room: string, payload = conference()) => publishes(NEW, room, payload, OPTIONS)
const writesOld = (...entries: readonly string[]) => publishes(OLD, 'current', storage(...entries))
const writesPrivate = (...entries: readonly string[]) =>
  xml`<iq type="set" id="s1"><query xmlns="${PRIVATE}">${storage(...entries)}</query></iq>`
const READS_PRIVATE = xml`<iq type="get" id="s2"><query xmlns="${PRIVATE}"><storage xmlns="${OLD}"/></query></iq>`

const show = (text: string) =>
  readElements(text)
    .map((element) => serialize(element, ''))
    .join('')
const privateList = async (actor: Actor) =>
  serialize((await asks(actor, READS_PRIVATE)).getChild('query', PRIVATE)?.getChildren()[0] ?? el('', 'nothing'), '')
const oldList = async (actor: Actor) =>
  (await itemsOf(actor, OLD)).map(([, payload]) => serialize(payload ?? el('', 'nothing'), '')).join('')
const newList = async (actor: Actor) =>
  Object.fromEntries((await itemsOf(actor, NEW)).map(([id, payload]) => [id, serialize(payload ?? el('', 'nothing'), '')]))

/** Juliet's three devices, each of another age. */
const devices = async (scene: Scene) => ({
  modern: await listens(scene, 'juliet@verona.example/modern', NEW),
  older: await listens(scene, 'juliet@verona.example/older', OLD),
  oldest: await scene.comesOnline('juliet@verona.example/oldest'),
})

conversation('XEP-0411 §2, XEP-0402 §6: an account says that its bookmarks are one list', { modules }, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  expect(await featuresOf(juliet)).toEqual(
    expect.arrayContaining(['urn:xmpp:bookmarks-conversion:0', `${NEW}#compat`, `${NEW}#compat-pep`]),
  )
})

conversation(
  'XEP-0402 §5.3.1: what a modern client adds is in the list of the older ones, who are told',
  { modules },
  async (scene) => {
    const { modern, older, oldest } = await devices(scene)
    for (const actor of [modern, older]) await actor.ignores()
    expect(await outcome(oldest, adds(PLAY))).toBe('result')
    await modern.receives(eventOf(NEW, PLAY, conference(), modern))
    await older.receives(eventOf(OLD, 'current', storage(entry(PLAY)), older))
    expect(await privateList(oldest)).toBe(show(storage(entry(PLAY))))
    expect(await oldList(oldest)).toBe(show(storage(entry(PLAY))))

    expect(await outcome(oldest, adds(ORCHARD, conference('', 'autojoin="0"')))).toBe('result')
    expect(await toldOf(modern)).toEqual([`${NEW} ${ORCHARD}`])
    expect(await toldOf(older)).toEqual([`${OLD} current`])
    const both = show(storage(entry(PLAY), entry(ORCHARD, '', 'autojoin="0"')))
    expect(await privateList(oldest)).toBe(both)

    expect(await outcome(oldest, retracts(NEW, PLAY))).toBe('result')
    await older.receives(eventOf(OLD, 'current', storage(entry(ORCHARD, '', 'autojoin="0"')), older))
    expect(await privateList(oldest)).toBe(show(storage(entry(ORCHARD, '', 'autojoin="0"'))))
    await oldest.receivesNothing()
  },
)

for (const [form, writes] of [
  ['XEP-0411 §3: by private XML', writesPrivate],
  ['XEP-0402 §5.3.2: at the old node', writesOld],
] as const)
  conversation(`${form}, an old client changes what differs and nothing else`, { modules }, async (scene) => {
    const { modern, older, oldest } = await devices(scene)
    expect(await outcome(oldest, writes(entry(PLAY), entry(ORCHARD)))).toBe('result')
    expect((await toldOf(modern)).toSorted()).toEqual([`${NEW} ${ORCHARD}`, `${NEW} ${PLAY}`])
    expect(await toldOf(older)).toEqual([`${OLD} current`])
    expect(await newList(modern)).toEqual({ [PLAY]: show(conference()), [ORCHARD]: show(conference()) })

    expect(
      await outcome(oldest, writes(entry(PLAY), entry(ORCHARD, '<nick>Jule</nick><password>x</password>', 'autojoin="1"'))),
    ).toBe('result')
    await modern.receives(eventOf(NEW, ORCHARD, conference('<nick>Jule</nick><password>x</password>', 'autojoin="true"'), modern))
    await modern.receivesNothing()
    expect(await toldOf(older)).toEqual([`${OLD} current`])

    expect(await outcome(oldest, writes(entry(PLAY)))).toBe('result')
    expect(await toldOf(modern)).toEqual([`-${NEW} ${ORCHARD}`])
    expect(await newList(modern)).toEqual({ [PLAY]: show(conference()) })
    expect(await privateList(oldest)).toBe(await oldList(oldest))

    expect(await outcome(oldest, writes())).toBe('result')
    expect(await newList(modern)).toEqual({})
    expect(await privateList(oldest)).toBe(show(`<storage xmlns="${OLD}"/>`))
  })

conversation(
  'XEP-0402 §3.4, XEP-0492 §3: what an old client leaves out of an entry is kept: extensions, settings of notifications, what nobody knows',
  { modules },
  async (scene) => {
    const { modern, oldest } = await devices(scene)
    const state = '<state xmlns="http://client.example/state" minimized="true"/>'
    const inner = (nick: string, more: string) => `<nick>${nick}</nick><extensions>${more}</extensions><odd xmlns="urn:odd"/>`
    expect(await outcome(modern, adds(PLAY, conference(inner('JC', NOTIFY + state), 'name="The Play" colour="red"')))).toBe(
      'result',
    )
    expect(await privateList(oldest)).toBe(
      show(storage(entry(PLAY, `<nick>JC</nick>${NOTIFY}${state}`, 'name="The Play" colour="red"'))),
    )
    await modern.ignores()
    for (const writes of [writesPrivate, writesOld]) {
      // It is what it was, as far as the client could tell.
      expect(await outcome(oldest, writes(entry(PLAY, '<nick>JC</nick>', 'name="The Play"')))).toBe('result')
      expect(await toldOf(modern)).toEqual([])
    }
    expect(await outcome(oldest, writesPrivate(entry(PLAY, '<nick>Jule</nick>', 'name="The Play"')))).toBe('result')
    await modern.receives(eventOf(NEW, PLAY, conference(inner('Jule', NOTIFY + state), 'name="The Play" colour="red"'), modern))
    // An old client's own extension is found again where it was put.
    const mine = '<print_status xmlns="urn:gajim">all</print_status>'
    expect(await outcome(oldest, writesPrivate(entry(PLAY, `<nick>Jule</nick>${mine}`, 'name="The Play"')))).toBe('result')
    expect(await newList(modern)).toEqual({
      [PLAY]: show(conference(inner('Jule', NOTIFY + state + mine), 'name="The Play" colour="red"')),
    })
    expect(await privateList(oldest)).toContain(show(mine))
    const other = '<state xmlns="http://client.example/state" minimized="false"/>'
    expect(
      await outcome(oldest, writesOld(entry(PLAY, `<nick>Jule</nick><extensions>${other}</extensions>`, 'name="The Play"'))),
    ).toBe('result')
    expect(await newList(modern)).toEqual({
      [PLAY]: show(conference(inner('Jule', NOTIFY + other + mine), 'name="The Play" colour="red"')),
    })
  },
)

conversation('XEP-0048: pages, which XEP-0402 has no place for, stay in the old lists', { modules }, async (scene) => {
  const { modern, oldest } = await devices(scene)
  const page = `<url xmlns="${OLD}" name="Works" url="https://verona.example/"/>`
  expect(await outcome(oldest, writesPrivate(entry(PLAY), page))).toBe('result')
  expect(await outcome(modern, adds(ORCHARD))).toBe('result')
  const all = show(storage(entry(PLAY), entry(ORCHARD), page))
  expect(await privateList(oldest)).toBe(all)
  expect(await oldList(oldest)).toBe(all)
  expect(await outcome(oldest, writesPrivate(entry(PLAY), entry(ORCHARD)))).toBe('result')
  expect(await oldList(oldest)).toBe(show(storage(entry(PLAY), entry(ORCHARD))))
})

conversation('XEP-0402 §5.3.2: a list that says nothing new causes no event', { modules }, async (scene) => {
  const { modern, older, oldest } = await devices(scene)
  expect(await outcome(oldest, writesPrivate(entry(PLAY), entry(ORCHARD)))).toBe('result')
  for (const actor of [modern, older]) await actor.ignores()
  for (let again = 0; again < 3; again++) expect(await outcome(oldest, writesPrivate(entry(ORCHARD), entry(PLAY)))).toBe('result')
  for (const actor of [modern, older]) await actor.receivesNothing()
})

conversation(
  'XEP-0402 §3.3, §8, XEP-0411 §5: nobody else reads bookmarks, whoever made the nodes and however',
  { modules },
  async (scene) => {
    const { modern, oldest } = await devices(scene)
    const romeo = await listens(scene, 'romeo@verona.example/orchard', NEW, OLD)
    await scene.befriend(modern, romeo)
    // Without publish-options, and from private XML.
    expect(await outcome(modern, publishes(NEW, PLAY, conference()))).toBe('result')
    expect(await outcome(oldest, writesPrivate(entry(PLAY), entry(ORCHARD)))).toBe('result')
    await romeo.receivesNothing()
    for (const node of [NEW, OLD]) {
      await romeo.sends(asksItems(node, modern.bareJid))
      expect((await romeo.next()).attrs.type).toBe('error')
    }
    expect(Object.keys(await newList(modern))).toEqual([PLAY, ORCHARD])
    // The node is as §3.3 wants it, so that clients that say so may publish.
    expect(await outcome(modern, adds('chapel@conference.verona.example'))).toBe('result')

    const opened = (node: string) =>
      xml`<iq type="set" id="c1"><pubsub xmlns="http://jabber.org/protocol/pubsub#owner"><configure node="${node}"><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>http://jabber.org/protocol/pubsub#node_config</value></field><field var="pubsub#access_model"><value>open</value></field></x></configure></pubsub></iq>`
    for (const node of [NEW, OLD]) expect(await outcome(modern, opened(node))).toBe('result')
    await romeo.ignores()
    expect(await outcome(oldest, writesPrivate(entry(ORCHARD)))).toBe('result')
    expect(await outcome(oldest, writesPrivate(entry(PLAY), entry(ORCHARD)))).toBe('result')
    for (const node of [NEW, OLD]) {
      await romeo.ignores()
      await romeo.sends(asksItems(node, modern.bareJid))
      expect((await romeo.next()).attrs.type).toBe('error')
    }
  },
)

conversation('XEP-0411 §4: what was kept before there was one list is taken into it, once', memory, async (scene) => {
  const page = `<url xmlns="${OLD}" url="https://verona.example/"/>`
  const fragments = scene.driver.documents<readonly string[]>('private-xml/fragments')
  await fragments.put('juliet@verona.example', `${OLD} storage`, [storage(entry(PLAY), entry(ORCHARD), page)])
  const { modern, oldest } = await devices(scene)
  expect(await outcome(modern, adds(ORCHARD, conference('<nick>Jule</nick>')))).toBe('result')
  expect(await newList(modern)).toEqual({ [PLAY]: show(conference()), [ORCHARD]: show(conference('<nick>Jule</nick>')) })
  expect(await privateList(oldest)).toBe(show(storage(entry(PLAY), entry(ORCHARD, '<nick>Jule</nick>'), page)))
  expect(await oldList(oldest)).toBe(await privateList(oldest))
  expect(await outcome(oldest, writesPrivate(entry(ORCHARD)))).toBe('result')
  await scene.dies()
  const after = await scene.comesOnline('juliet@verona.example/balcony')
  expect(Object.keys(await newList(after))).toEqual([ORCHARD])
})

conversation('XEP-0402 §5.3.1: a copy that a crash left behind is put right before it is read', memory, async (scene) => {
  const { modern, oldest } = await devices(scene)
  expect(await outcome(modern, adds(PLAY))).toBe('result')
  expect(await oldList(oldest)).toBe(show(storage(entry(PLAY))))
  const nodes = scene.driver.documents<{ readonly payload?: string }>('pubsub/nodes')
  for (const { key, value } of await nodes.list('juliet@verona.example'))
    if (value.payload?.startsWith('<storage') === true)
      await nodes.put('juliet@verona.example', key, { ...value, payload: storage() })
  await scene.dies()
  const after = await listens(scene, 'juliet@verona.example/older', OLD)
  expect(await oldList(after)).toBe(show(storage(entry(PLAY))))
})

conversation('XEP-0411 §4: a list at the old node alone is taken into the new one', memory, async (scene) => {
  const { modern, oldest } = await devices(scene)
  expect(await outcome(oldest, writesOld(entry(PLAY)))).toBe('result')
  // As it is after an import.
  const nodes = scene.driver.documents<unknown>('pubsub/nodes')
  for (const { key } of await nodes.list('juliet@verona.example'))
    if (key.includes(NEW)) await nodes.delete('juliet@verona.example', key)
  await scene.dies()
  const after = await listens(scene, modern.jid, NEW)
  expect(await newList(after)).toEqual({ [PLAY]: show(conference()) })
})

conversation(
  'XEP-0402 §2, XEP-0060 §7.1.3.6: what is no bookmark is refused, and nothing is lost',
  { modules },
  async (scene) => {
    const { modern, oldest } = await devices(scene)
    expect(await outcome(modern, adds(PLAY))).toBe('result')
    const before = await newList(modern)
    for (const request of [
      publishes(NEW, ORCHARD, `<conference xmlns="${OLD}"/>`),
      publishes(NEW, ORCHARD, `<bookmark xmlns="${NEW}"/>`),
      publishes(NEW, '@nowhere', conference()),
      publishes(NEW, undefined, conference()),
      publishes(OLD, 'current', `<storage xmlns="${NEW}"/>`),
      publishes(OLD, 'current', entry(ORCHARD)),
      writesOld(entry(ORCHARD), `<conference xmlns="${OLD}" name="nowhere"/>`),
      writesOld(entry(ORCHARD), entry('@nowhere')),
    ])
      expect(await outcome(modern, request)).toBe('bad-request invalid-payload')
    for (const request of [
      writesPrivate(`<conference xmlns="${OLD}" name="nowhere"/>`),
      xml`<iq type="set" id="s1"><query xmlns="${PRIVATE}">${storage()}${storage(entry(ORCHARD))}</query></iq>`,
    ]) {
      await oldest.ignores()
      await oldest.sends(request)
      await oldest.receives(refusal('bad-request', { id: 's1', from: oldest.bareJid, to: oldest.jid }))
    }
    expect(await newList(modern)).toEqual(before)
    expect(await privateList(oldest)).toBe(show(storage(entry(PLAY))))
    expect(await oldList(oldest)).toBe(show(storage(entry(PLAY))))
  },
)

conversation('XEP-0402 §2: one room is one bookmark, however an old client writes its address', memory, async (scene) => {
  const { modern, oldest } = await devices(scene)
  expect(await outcome(modern, adds(PLAY))).toBe('result')
  expect(
    await outcome(oldest, writesPrivate(entry('ThePlay@CONFERENCE.verona.example/JC'), entry(PLAY, '<nick>Jule</nick>'))),
  ).toBe('result')
  expect(await newList(modern)).toEqual({ [PLAY]: show(conference('<nick>Jule</nick>')) })
})

conversation('XEP-0060 §8.4, §8.5: removing the old node removes no bookmarks; it comes back', { modules }, async (scene) => {
  const { modern, oldest } = await devices(scene)
  expect(await outcome(modern, adds(PLAY))).toBe('result')
  const owner = (name: string) =>
    xml`<iq type="set" id="o1"><pubsub xmlns="http://jabber.org/protocol/pubsub#owner"><${name} node="${OLD}"/></pubsub></iq>`
  for (const request of [owner('purge'), owner('delete'), retracts(OLD, 'current')]) {
    expect(await outcome(oldest, request)).toBe('result')
    expect(Object.keys(await newList(modern))).toEqual([PLAY])
    expect(await oldList(oldest)).toBe(show(storage(entry(PLAY))))
  }
})

conversation(
  'XEP-0402 §5.3: a thousand bookmarks are one event and one answer; one more is refused, and so is more than fits',
  memory,
  async (scene) => {
    const { modern, older, oldest } = await devices(scene)
    const rooms = Array.from({ length: 1000 }, (_, nth) => `r${nth}@c.verona.example`)
    const list = (more: readonly string[] = []) => [...rooms, ...more].map((room) => entry(room, '', ''))
    expect(await outcome(oldest, writesPrivate(...list()))).toBe('result')
    expect(await toldOf(modern)).toHaveLength(1000)
    expect(await toldOf(older)).toEqual([`${OLD} current`])
    expect(await outcome(oldest, writesPrivate(...list([PLAY])))).toBe('conflict node-full')
    expect(await outcome(modern, adds(PLAY))).toBe('conflict node-full')
    expect(await outcome(modern, adds('r1@c.verona.example'))).toBe('result')
    const large = (id: string) => publishes(NEW, id, conference(`<password>${'x'.repeat(100_000)}</password>`, ''))
    expect(await outcome(modern, large('r2@c.verona.example'))).toBe('result')
    expect(await outcome(modern, large('r3@c.verona.example'))).toBe('not-acceptable payload-too-big')
    expect(Object.keys(await newList(modern))).toHaveLength(1000)
    // All others, in a list that is as long: those that go make room first.
    const others = rooms.map((room) => entry(`x${room}`, '', ''))
    expect(await outcome(oldest, writesPrivate(...others))).toBe('result')
    expect(Object.keys(await newList(modern)).toSorted()).toEqual(rooms.map((room) => `x${room}`).toSorted())
  },
)

conversation('XEP-0402 §5.3: a storm of publications ends in one list that is the same everywhere', memory, async (scene) => {
  const { modern, older, oldest } = await devices(scene)
  for (const actor of [modern, older]) await actor.ignores()
  const storm = Array.from({ length: 60 }, (_, nth) => adds(`r${nth % 20}@c.verona.example`, conference(`<nick>n${nth}</nick>`)))
  await modern.sends(storm.join(''))
  await oldest.sends(writesPrivate(entry(PLAY)) + writesPrivate(entry(ORCHARD)))
  await modern.sends(storm.join(''))
  const list = await newList(modern)
  const privately = await privateList(oldest)
  expect(await oldList(older)).toBe(privately)
  const rooms = readElements(privately)[0]
    ?.getChildren()
    .map(({ attrs }) => attrs.jid)
  expect(Object.keys(list)).toEqual(rooms)
})

conversation('XEP-0402 §5.2: bookmarks outlive the server', { modules, carriers: ['memory'] }, async (scene) => {
  const before = await scene.comesOnline('juliet@verona.example/balcony')
  const page = `<url xmlns="${OLD}" url="https://verona.example/"/>`
  expect(await outcome(before, writesPrivate(entry(PLAY), page))).toBe('result')
  await scene.dies()
  const after = await scene.comesOnline('juliet@verona.example/balcony')
  expect(await privateList(after)).toBe(show(storage(entry(PLAY), page)))
  expect(await oldList(after)).toBe(show(storage(entry(PLAY), page)))
})

conversation(
  'XEP-0077 §3.2: with the account goes what was kept beside its nodes',
  { modules: [...modules, registration], carriers: ['memory'] },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    expect(await outcome(juliet, writesPrivate(entry(PLAY), `<url xmlns="${OLD}" url="https://verona.example/"/>`))).toBe(
      'result',
    )
    const others = scene.driver.documents('bookmarks/others')
    expect(await others.list('juliet@verona.example')).toHaveLength(1)
    await juliet.sends('<iq type="set" id="x1"><query xmlns="jabber:iq:register"><remove/></query></iq>')
    await scene.settle()
    for (const store of [others, scene.driver.documents('pubsub/nodes')])
      expect(await store.list('juliet@verona.example')).toEqual([])
  },
)
