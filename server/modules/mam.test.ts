import { expect } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import type { Element } from '#stanzas/element.ts'
import { carbons } from './carbons.ts'
import { csi } from './csi.ts'
import { disco } from './disco.ts'
import { mam } from './mam.ts'
import { offline } from './offline.ts'
import { presence } from './presence.ts'

const modules = [presence, offline, carbons, csi, disco, mam]
const options = { modules, carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const field = (name: string, ...values: readonly string[]) =>
  `<field var="${name}">${values.map((value) => `<value>${value}</value>`).join('')}</field>`
const form = (...fields: readonly string[]) =>
  xml`<x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>${NS}</value></field>${fields.join('')}</x>`
const set = (content: string) => xml`<set xmlns="http://jabber.org/protocol/rsm">${content}</set>`
const query = (content = '', attributes = '') =>
  xml`<iq type="set" id="q"><query xmlns="${NS}" ${attributes}>${content}</query></iq>`
const fin = (actor: Actor, rsm: string, complete = ' complete="true"') =>
  xml`<iq type="result" id="q" from="${actor.bareJid}" to="${actor.jid}"><fin xmlns="${NS}"${complete}>${set(rsm)}</fin></iq>`
const span = (first: string, last: string, count?: number) =>
  `<first>${first}</first><last>${last}</last>${count === undefined ? '' : `<count>${count}</count>`}`
const result = (actor: Actor, message: string, attributes = `id="${any}"`) =>
  xml`<message from="${actor.bareJid}" to="${actor.jid}"><result xmlns="${NS}" ${attributes}>
    <forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" stamp="${any}"/>${message.replace('<message ', '<message xmlns="jabber:client" ')}</forwarded></result></message>`
const chat = (from: string, to: string, body: string, content = '') =>
  xml`<message from="${from}" to="${to}" type="chat" id="${body}"><body>${body}</body>${content}</message>`

/** Sends chat messages, a second apart, each named by its body; gives back the ids of the archive they are in. */
const says = async (scene: Scene, sender: Actor, to: string, ...bodies: readonly string[]) => {
  for (const body of bodies) {
    scene.clock.advance('1s')
    await sender.sends(xml`<message type="chat" to="${to}" id="${body}"><body>${body}</body></message>`)
  }
}

interface Answer {
  readonly bodies: readonly string[]
  readonly ids: readonly string[]
  readonly fin: Element
}

/** Asks, and gives what came: results, and then the answer. */
const asks = async (actor: Actor, text: string): Promise<Answer> => {
  await actor.ignores()
  await actor.sends(text)
  const all = await actor.collects()
  const answer = all.at(-1)
  if (answer?.name !== 'iq') throw new Error('no answer')
  const results = all.slice(0, -1).map((message) => message.getChild('result', NS))
  return {
    ids: results.map((each) => each?.attrs.id ?? ''),
    bodies: results.map(
      (each) =>
        each?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client')?.getChildText('body') ?? '',
    ),
    fin: answer,
  }
}
/** What it sends is refused for this reason, and nothing else comes. */
const isRefused = async (actor: Actor, text: string, condition: string): Promise<void> => {
  await actor.ignores()
  await actor.sends(text)
  const [answer, ...more] = await actor.collects()
  const conditions = answer
    ?.getChild('error')
    ?.getChildren()
    .map((each) => each.name)
  expect([answer?.attrs.type, conditions?.[0], more], text).toEqual(['error', condition, []])
}
const isComplete = ({ fin: answer }: Answer) => answer.getChild('fin', NS)?.attrs.complete === 'true'
const countIn = ({ fin: answer }: Answer) =>
  answer.getChild('fin', NS)?.getChild('set', 'http://jabber.org/protocol/rsm')?.getChildText('count')

/** Romeo has written `m1` to `m6` to Juliet, who was not there. */
const letters = async (scene: Scene) => {
  await scene.createAccount(JULIET)
  const romeo = await scene.connect(`${ROMEO}/orchard`)
  await says(scene, romeo, JULIET, 'm1', 'm2', 'm3', 'm4', 'm5', 'm6')
  await romeo.ignores()
  return romeo
}

conversation(
  'XEP-0313 §4, §4.2: the results come first, in order, as they were, and then the answer',
  { modules },
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.connect(`${JULIET}/balcony`)
    await romeo.sends(
      xml`<message type="chat" to="${juliet.jid}" id="m1" xml:lang="it"><body>Amor &amp; più</body><request xmlns="urn:xmpp:receipts"/></message>`,
    )
    await juliet.ignores()
    await juliet.sends(xml`<message type="chat" to="${romeo.jid}" id="m2"><body>m2</body></message>`)
    const first = xml`<message from="${romeo.jid}" to="${juliet.jid}" type="chat" id="m1" xml:lang="it"><body>Amor &amp; più</body><request xmlns="urn:xmpp:receipts"/></message>`
    const second = chat(juliet.jid, romeo.jid, 'm2')
    await juliet.sends(query('', 'queryid="f&amp;27"'))
    await juliet.receives(
      result(juliet, first, `id="${any}" queryid="f&amp;27"`),
      result(juliet, second, `id="${any}" queryid="f&amp;27"`),
      fin(juliet, span(any, any, 2)),
    )
    await romeo.ignores()
    await romeo.sends(query())
    await romeo.receives(result(romeo, first), result(romeo, second), fin(romeo, span(any, any, 2)))
  },
)

conversation(
  'XEP-0313 §3.5, §4.2: the result has the id by which the message was delivered, and tells when it came',
  options,
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await romeo.sends(chat('', JULIET, 'm1').replace('from="" ', ''))
    const [live] = await juliet.receives(
      chat(romeo.jid, JULIET, 'm1', `<stanza-id xmlns="urn:xmpp:sid:0" by="${JULIET}" id="${any}"/>`),
    )
    const id = live?.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''
    scene.clock.advance('1h')
    await juliet.sends(query())
    const [shown] = await juliet.receives(
      result(juliet, chat(romeo.jid, JULIET, 'm1'), `id="${id}"`),
      fin(juliet, span(id, id, 1)),
    )
    const delay = shown?.getChild('result', NS)?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('delay', 'urn:xmpp:delay')
    expect(delay?.attrs.stamp).toBe(new Date(scene.clock.nowMs() - 3_600_000).toISOString())
  },
)

conversation('XEP-0313 §4: an empty archive gives an empty page', options, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await juliet.sends(query())
  await juliet.receives(fin(juliet, '<count>0</count>'))
  await juliet.sends(query(set('<max>10</max><before/>')))
  await juliet.receives(fin(juliet, '<count>0</count>'))
})

conversation('XEP-0313 §4.3: pages follow each other forwards', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const first = await asks(juliet, query(set('<max>4</max>')))
  expect(first.bodies).toEqual(['m1', 'm2', 'm3', 'm4'])
  expect(isComplete(first)).toBe(false)
  const next = await asks(juliet, query(set(`<max>4</max><after>${first.ids.at(-1)}</after>`)))
  expect(next.bodies).toEqual(['m5', 'm6'])
  expect(isComplete(next)).toBe(true)
  const behind = await asks(juliet, query(set(`<max>4</max><after>${next.ids.at(-1)}</after>`)))
  expect([behind.bodies, isComplete(behind)]).toEqual([[], true])
  const exact = await asks(juliet, query(set('<max>6</max>')))
  expect([exact.bodies.length, isComplete(exact)]).toEqual([6, true])
})

conversation('XEP-0313 §4.3.3: pages follow each other backwards, each in the order of arrival', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const last = await asks(juliet, query(set('<max>4</max><before/>')))
  expect([last.bodies, isComplete(last)]).toEqual([['m3', 'm4', 'm5', 'm6'], false])
  const earlier = await asks(juliet, query(set(`<max>4</max><before>${last.ids[0]}</before>`)))
  expect([earlier.bodies, isComplete(earlier)]).toEqual([['m1', 'm2'], true])
})

conversation(
  'XEP-0313 §4.3.4: a flipped page has the same messages, the newest first, and the same ends',
  options,
  async (scene) => {
    await letters(scene)
    const juliet = await scene.connect(`${JULIET}/balcony`)
    const plain = await asks(juliet, query(set('<max>3</max><before/>')))
    const flipped = await asks(juliet, query(`${set('<max>3</max><before/>')}<flip-page/>`))
    expect(flipped.bodies).toEqual(['m6', 'm5', 'm4'])
    expect(flipped.fin).toEqual(plain.fin)
  },
)

conversation(
  'XEP-0313 §4.1.1: with a bare JID come the messages of all its resources, with a full JID those of one',
  options,
  async (scene) => {
    const juliet = await scene.connect(`${JULIET}/balcony`)
    const orchard = await scene.connect(`${ROMEO}/orchard`)
    const street = await scene.connect(`${ROMEO}/street`)
    const nurse = await scene.connect('nurse@verona.example/hall')
    await says(scene, orchard, juliet.jid, 'o1')
    await says(scene, nurse, juliet.jid, 'n1')
    await says(scene, street, juliet.jid, 's1')
    await says(scene, juliet, orchard.jid, 'o2')
    await says(scene, juliet, ROMEO, 'r1')
    expect((await asks(juliet, query(form(field('with', ROMEO))))).bodies).toEqual(['o1', 's1', 'o2', 'r1'])
    expect((await asks(juliet, query(form(field('with', 'ROMEO@verona.example'))))).bodies).toEqual(['o1', 's1', 'o2', 'r1'])
    const one = await asks(juliet, query(form(field('with', orchard.jid)) + set('<max>1</max>')))
    expect([one.bodies, isComplete(one)]).toEqual([['o1'], false])
    const rest = await asks(juliet, query(form(field('with', orchard.jid)) + set(`<max>1</max><after>${one.ids[0]}</after>`)))
    expect([rest.bodies, isComplete(rest)]).toEqual([['o2'], true])
    expect((await asks(juliet, query(form(field('with', 'tybalt@verona.example'))))).bodies).toEqual([])
  },
)

conversation(
  'XEP-0313 §4.1.1: with the own account come the messages to oneself, once, and no others',
  options,
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await says(scene, romeo, JULIET, 'm1')
    await says(scene, juliet, JULIET, 'note')
    await says(scene, juliet, romeo.jid, 'm2')
    expect((await asks(juliet, query(form(field('with', JULIET))))).bodies).toEqual(['note'])
    expect((await asks(juliet, query())).bodies).toEqual(['m1', 'note', 'm2'])
  },
)

conversation('XEP-0313 §4.1.2: start and end are both part of what is asked for', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const at = (secondsAgo: number) => new Date(scene.clock.nowMs() - secondsAgo * 1000).toISOString()
  expect((await asks(juliet, query(form(field('start', at(2)))))).bodies).toEqual(['m4', 'm5', 'm6'])
  expect((await asks(juliet, query(form(field('end', at(4)))))).bodies).toEqual(['m1', 'm2'])
  expect((await asks(juliet, query(form(field('start', at(3)), field('end', at(1)))))).bodies).toEqual(['m3', 'm4', 'm5'])
  expect((await asks(juliet, query(form(field('start', at(1)), field('end', at(3)))))).bodies).toEqual([])
})

conversation(
  'XEP-0313 §4.1.3: before-id and after-id bound what is asked for, and pages are made of that',
  options,
  async (scene) => {
    await letters(scene)
    const juliet = await scene.connect(`${JULIET}/balcony`)
    const { ids } = await asks(juliet, query())
    const between = form(field('after-id', ids[0] ?? ''), field('before-id', ids[5] ?? ''))
    expect((await asks(juliet, query(between))).bodies).toEqual(['m2', 'm3', 'm4', 'm5'])
    const first = await asks(juliet, query(between + set('<max>3</max>')))
    expect([first.bodies, isComplete(first)]).toEqual([['m2', 'm3', 'm4'], false])
    const last = await asks(juliet, query(between + set('<max>3</max><before/>')))
    expect([last.bodies, isComplete(last)]).toEqual([['m3', 'm4', 'm5'], false])
    const rest = await asks(juliet, query(between + set(`<max>3</max><after>${first.ids.at(-1)}</after>`)))
    expect([rest.bodies, isComplete(rest)]).toEqual([['m5'], true])
  },
)

conversation('XEP-0313 §4.1.3: messages are fetched by their ids', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const { ids } = await asks(juliet, query())
  const some = field('ids', ids[4] ?? '', ids[1] ?? '', ids[4] ?? '')
  const got = await asks(juliet, query(form(some)))
  expect([got.bodies, isComplete(got), countIn(got)]).toEqual([['m2', 'm5'], true, '2'])
  const one = await asks(juliet, query(form(some) + set('<max>1</max><before/>')))
  expect([one.bodies, isComplete(one), countIn(one)]).toEqual([['m5'], false, '2'])
  expect((await asks(juliet, query(form(some, field('with', ROMEO))))).bodies).toEqual(['m2', 'm5'])
  expect((await asks(juliet, query(form(some, field('with', 'nurse@verona.example'))))).bodies).toEqual([])
})

conversation('XEP-0313 §4.1.3, §4.3.2: what is not in this archive is found by none of its ids', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const nurse = await scene.connect('nurse@verona.example/hall')
  const { ids } = await asks(juliet, query())
  const missing = refusal('item-not-found', { id: 'q', from: nurse.bareJid, to: nurse.jid })
  for (const id of [ids[0] ?? '', 'unknown', '00000000001']) {
    for (const name of ['before-id', 'after-id', 'ids']) {
      await nurse.sends(query(form(field(name, id))))
      await nurse.receives(missing)
    }
    for (const name of ['before', 'after']) {
      await nurse.sends(query(set(`<${name}>${id}</${name}>`)))
      await nurse.receives(missing)
    }
  }
  await juliet.sends(query(form(field('ids', ids[0] ?? '', 'unknown'))))
  await juliet.receives(refusal('item-not-found', { id: 'q', from: juliet.bareJid, to: juliet.jid }))
})

conversation('XEP-0059 §2.7: a page of none tells how many there are', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  await juliet.sends(query(set('<max>0</max>')))
  await juliet.receives(fin(juliet, '<count>6</count>', ''))
  await juliet.sends(query(form(field('with', 'nurse@verona.example')) + set('<max>0</max>')))
  await juliet.receives(fin(juliet, '<count>0</count>'))
})

conversation('XEP-0059 §2.2: the count comes with what is complete from its beginning', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const all = await asks(juliet, query(set('<before/>')))
  expect(countIn(all)).toBe('6')
  expect(countIn(await asks(juliet, query(set('<max>5</max>'))))).toBeUndefined()
  expect(countIn(await asks(juliet, query(set(`<after>${all.ids[2]}</after>`))))).toBeUndefined()
})

conversation(
  'XEP-0313 §4.3.1: who names no size gets the usual one, who wants too much gets the largest',
  { ...options, config: { modules: { mam: { defaultPage: 2, maxPage: 4 } } } },
  async (scene) => {
    await letters(scene)
    const juliet = await scene.connect(`${JULIET}/balcony`)
    expect((await asks(juliet, query())).bodies).toEqual(['m1', 'm2'])
    const large = await asks(juliet, query(set('<max>2147483647</max>')))
    expect([large.bodies, isComplete(large)]).toEqual([['m1', 'm2', 'm3', 'm4'], false])
    await isRefused(juliet, query(form(field('ids', ...large.ids, large.ids[0] ?? ''))), 'policy-violation')
  },
)

conversation('XEP-0313 §4.1, §4.1.5: a query that cannot be read is refused, each for its own reason', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const bare = (type: string, content: string) => `<x xmlns="jabber:x:data" type="${type}">${content}</x>`
  for (const [condition, content] of [
    ['bad-request', bare('submit', field('with', ROMEO))],
    ['bad-request', bare('submit', field('FORM_TYPE', 'urn:xmpp:mam:1'))],
    ['bad-request', bare('cancel', field('FORM_TYPE', NS))],
    ['bad-request', bare('form', field('FORM_TYPE', NS))],
    ['bad-request', bare('', '')],
    ['bad-request', form(field('start', 'yesterday'))],
    ['bad-request', form(field('end', '2026-02-30T00:00:00Z'))],
    ['bad-request', form(field('include-groupchat', 'perhaps'))],
    ['jid-malformed', form(field('with', '@'))],
    ['feature-not-implemented', form(field('{http://example.com/}stanza-content', 'mood'))],
    ['feature-not-implemented', form(field('withtext', 'love'))],
    ['bad-request', set('<max>-1</max>')],
    ['bad-request', set('<max>many</max>')],
    ['bad-request', set('<max>99999999999999999999</max>')],
    ['feature-not-implemented', set('<max>10</max><index>0</index>')],
  ] as const)
    await isRefused(juliet, query(content), condition)
  await isRefused(juliet, query('', 'node="urn:example"'), 'feature-not-implemented')
  await isRefused(juliet, query('', `queryid="${'x'.repeat(257)}"`), 'policy-violation')
})

conversation('XEP-0313 §4.1: a field that is empty, or that changes nothing, is no reason to refuse', options, async (scene) => {
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  for (const content of [
    form(field('with', ''), field('start', ''), field('ids')),
    form(field('include-groupchat', 'true')),
    form(field('include-groupchat', '0')),
    xml`<x xmlns="jabber:x:data" type="submit">${field('FORM_TYPE', NS)}</x>`,
    form(field('{urn:xmpp:fulltext:0}fulltext', '')),
  ])
    expect((await asks(juliet, query(content))).bodies).toHaveLength(6)
})

conversation('XEP-0059 §4: what stands beside the set is none of it', options, async (scene) => {
  // COMPAT(Profanity 0.13): it puts an <after/> there.
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const start = form(field('start', '2025-01-01T00:00:00Z'))
  expect((await asks(juliet, query(`${start}<after>unknown</after>${set('')}`))).bodies).toHaveLength(6)
})

conversation('XEP-0313 §8.1: an archive is read by its own account alone', options, async (scene) => {
  await letters(scene)
  const tybalt = await scene.connect('tybalt@verona.example/square')
  for (const [type, name] of [
    ['set', 'query'],
    ['get', 'query'],
    ['get', 'metadata'],
  ] as const) {
    await tybalt.sends(xml`<iq type="${type}" id="t" to="${JULIET}"><${name} xmlns="${NS}"/></iq>`)
    await tybalt.receives(refusal('forbidden', { id: 't', from: JULIET, to: tybalt.jid }))
  }
})

conversation('XEP-0313 §4.1.5: the form tells which fields there are', options, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await juliet.sends(xml`<iq type="get" id="f"><query xmlns="${NS}"/></iq>`)
  await juliet.receives(xml`<iq type="result" id="f" from="${JULIET}" to="${juliet.jid}"><query xmlns="${NS}">
    <x xmlns="jabber:x:data" type="form"><field type="hidden" var="FORM_TYPE"><value>${NS}</value></field>
    <field type="jid-single" var="with"/><field type="text-single" var="start"/><field type="text-single" var="end"/>
    <field type="text-single" var="before-id"/><field type="text-single" var="after-id"/>
    <field type="list-multi" var="ids"><validate xmlns="http://jabber.org/protocol/xdata-validate" datatype="xs:string"><open/></validate></field>
    <field type="boolean" var="include-groupchat"/>
    <field type="text-single" var="{urn:xmpp:fulltext:0}fulltext"/></x></query></iq>`)
})

conversation('XEP-0313 §5: the metadata are those of the oldest and the newest message', options, async (scene) => {
  const ask = xml`<iq type="get" id="m"><metadata xmlns="${NS}"/></iq>`
  const answer = (actor: Actor, content: string) =>
    xml`<iq type="result" id="m" from="${actor.bareJid}" to="${actor.jid}"><metadata xmlns="${NS}">${content}</metadata></iq>`
  const nurse = await scene.connect('nurse@verona.example/hall')
  await nurse.sends(ask)
  await nurse.receives(answer(nurse, ''))
  await letters(scene)
  const juliet = await scene.connect(`${JULIET}/balcony`)
  const { ids } = await asks(juliet, query())
  const at = (secondsAgo: number) => new Date(scene.clock.nowMs() - secondsAgo * 1000).toISOString()
  await juliet.sends(ask)
  await juliet.receives(answer(juliet, `<start id="${ids[0]}" timestamp="${at(5)}"/><end id="${ids[5]}" timestamp="${at(0)}"/>`))
})

conversation('XEP-0431 §3.1: messages are found by their words', options, async (scene) => {
  const romeo = await scene.connect(`${ROMEO}/orchard`)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  for (const body of ['what light through yonder window breaks', 'it is the east', 'and Juliet is the sun', 'a second WINDOW'])
    await romeo.sends(xml`<message type="chat" to="${JULIET}"><body>${body}</body></message>`)
  const words = (text: string) => form(field('{urn:xmpp:fulltext:0}fulltext', text))
  expect((await asks(juliet, query(words('window')))).bodies).toEqual([
    'what light through yonder window breaks',
    'a second WINDOW',
  ])
  expect((await asks(juliet, query(words('the is')))).bodies).toEqual(['it is the east', 'and Juliet is the sun'])
  const last = await asks(juliet, query(words('the is') + set('<max>1</max><before/>')))
  expect([last.bodies, isComplete(last)]).toEqual([['and Juliet is the sun'], false])
  expect((await asks(juliet, query(words('rose')))).bodies).toEqual([])
  await isRefused(juliet, query(words('x'.repeat(1_001))), 'policy-violation')
  await isRefused(
    juliet,
    query(form(field('ids', last.ids[0] ?? ''), field('{urn:xmpp:fulltext:0}fulltext', 'is'))),
    'feature-not-implemented',
  )
})

conversation(
  'XEP-0313 §7, XEP-0359 §5, XEP-0059 §4, XEP-0431 §2.1: an account says what its archive can do',
  options,
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends(xml`<iq type="get" id="d" to="${JULIET}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
    const info = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
    const features = info?.getChildren('feature').map((each) => each.attrs.var)
    for (const feature of [
      NS,
      `${NS}#extended`,
      `${NS}#groupchat-field`,
      'urn:xmpp:sid:0',
      'urn:xmpp:fulltext:0',
      'http://jabber.org/protocol/rsm',
    ])
      expect(features).toContain(feature)
    // Profanity looks there.
    await juliet.sends(xml`<iq type="get" id="d" to="verona.example"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
    const domainInfo = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
    expect(domainInfo?.getChildren('feature').map((each) => each.attrs.var)).toContain(NS)
  },
)
