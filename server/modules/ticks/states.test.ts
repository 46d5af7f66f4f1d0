import { expect } from 'vitest'
import { type Actor, any, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { offline } from '../offline.ts'
import { ticks } from '../ticks.ts'

const options = { modules: [offline, ticks], carriers: ['memory'] } as const
const NS = 'urn:waxwing:ticks:0'
const RSM = 'http://jabber.org/protocol/rsm'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const says = (to: string, id: string) => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const displayed = (to: string, id: string) =>
  xml`<message to="${to}"><displayed xmlns="urn:xmpp:chat-markers:0" id="${id}"/></message>`
const asks = (content: string, peer?: string) =>
  xml`<iq type="get" id="q1"><ticks xmlns="${NS}"${peer === undefined ? '' : ` peer="${peer}"`}>${content}</ticks></iq>`
const set = (content: string) => `<set xmlns="${RSM}">${content}</set>`

const couple = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  await scene.befriend(juliet, romeo)
  return { juliet, romeo }
}

/** The answer to a question about ticks. */
const answerTo = async (actor: Actor, question: string) => {
  await actor.ignores()
  await actor.sends(question)
  const answer = (await actor.next()).getChild('ticks', NS)
  const page = answer?.getChild('set', RSM)
  return {
    ids: answer?.getChildren('tick').map(({ attrs }) => attrs.id) ?? [],
    ticks: answer?.getChildren('tick').map(({ attrs }) => [attrs['message-id'], attrs.state]) ?? [],
    first: page?.getChildText('first'),
    last: page?.getChildText('last'),
    count: page?.getChildText('count'),
  }
}

conversation(
  'ticks §5.2: states by id and by message-id, each once, with the times of reading and of delivery',
  options,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    await romeo.sends(says(JULIET, 'm1'))
    scene.clock.advance('1m')
    await juliet.sends(displayed(ROMEO, 'm1'))
    await juliet.leaves()
    scene.clock.advance('1m')
    await romeo.sends(says(JULIET, 'm2'))
    const { ids } = await answerTo(romeo, asks('', JULIET))
    await romeo.sends(
      asks(
        `<tick peer="${JULIET}" message-id="m2"/><tick id="${ids[0]}"/><tick id="${ids[1]}"/><tick peer="${JULIET}" message-id="m1"/>`,
      ),
    )
    await romeo.receives(xml`<iq type="result" id="q1" from="${ROMEO}" to="${romeo.jid}"><ticks xmlns="${NS}">
    <tick id="${ids[0]}" message-id="m1" peer="${JULIET}" state="read" stamp="2026-01-01T00:01:00.000Z" delivered="2026-01-01T00:00:00.000Z"/>
    <tick id="${ids[1]}" message-id="m2" peer="${JULIET}" state="sent" stamp="2026-01-01T00:02:00.000Z"/></ticks></iq>`)
  },
)

conversation('ticks §7.2: each message was read when the watermark first passed it', options, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'm1') + says(JULIET, 'm2') + says(JULIET, 'm3'))
  for (const id of ['m2', 'm3']) {
    scene.clock.advance('1m')
    await juliet.sends(displayed(ROMEO, id))
  }
  await romeo.ignores()
  await romeo.sends(asks('', JULIET))
  const stamps = (await romeo.next())
    .getChild('ticks', NS)
    ?.getChildren('tick')
    .map(({ attrs }) => attrs.stamp)
  expect(stamps).toEqual(['2026-01-01T00:01:00.000Z', '2026-01-01T00:01:00.000Z', '2026-01-01T00:02:00.000Z'])
})

conversation('ticks §8: foreign ids are as those that do not exist', options, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const nurse = await scene.comesOnline('nurse@verona.example/street')
  await romeo.sends(says(JULIET, 'm1'))
  const { ids } = await answerTo(romeo, asks('', JULIET))
  for (const name of [
    `<tick id="${ids[0]}"/>`,
    '<tick id="00000000000"/>',
    '<tick id="no id at all"/>',
    '<tick id=""/>',
    `<tick peer="${ROMEO}" message-id="m1"/>`,
  ])
    for (const actor of [nurse, juliet]) {
      // Juliet has the entry, but did not send it.
      await actor.ignores()
      await actor.sends(asks(name))
      await actor.receives(xml`<iq type="result" id="q1" from="${actor.bareJid}" to="${actor.jid}"><ticks xmlns="${NS}"/></iq>`)
    }
})

conversation(
  'ticks §5.3: a page of a conversation has what the account wrote, and only the last without a word',
  options,
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    for (const id of ['m1', 'm2', 'm3', 'm4', 'm5']) {
      await romeo.sends(says(JULIET, id))
      await juliet.sends(says(ROMEO, `answer-to-${id}`))
      await romeo.sends(xml`<message to="${JULIET}"><received xmlns="urn:xmpp:receipts" id="answer-to-${id}"/></message>`)
      await romeo.sends(says('nurse@verona.example', `${id}-elsewhere`))
    }
    const all = await answerTo(romeo, asks('', JULIET))
    expect(all.ticks.map(([id]) => id)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
    expect([all.first, all.last]).toEqual([all.ids[0], all.ids[4]])
    for (const [content, wanted] of [
      [set('<max>2</max>'), ['m4', 'm5']],
      [set('<max>2</max><before/>'), ['m4', 'm5']],
      [set(`<max>2</max><before>${all.ids[3]}</before>`), ['m2', 'm3']],
      [set(`<max>2</max><after>${all.ids[0]}</after>`), ['m2', 'm3']],
      [set(`<after>${all.ids[0]}</after><before>${all.ids[3]}</before>`), ['m2', 'm3']],
      [set(`<after>${all.ids[4]}</after>`), []],
      [set('<max>1000000</max>'), ['m1', 'm2', 'm3', 'm4', 'm5']],
    ] as const)
      expect((await answerTo(romeo, asks(content, `${JULIET}/balcony`))).ticks.map(([id]) => id)).toEqual(wanted)
    expect(await answerTo(romeo, asks(set('<max>0</max>'), JULIET))).toMatchObject({ ids: [], count: '5' })
    expect((await answerTo(romeo, asks('', 'tybalt@verona.example'))).ids).toEqual([])
  },
)

conversation('ticks §5.3: a page has at most a hundred', options, async (scene) => {
  const { romeo } = await couple(scene)
  await romeo.sends(Array.from({ length: 120 }, (_, n) => says(JULIET, `m${n}`)).join(''))
  expect((await answerTo(romeo, asks('', JULIET))).ids.length).toBe(50)
  expect((await answerTo(romeo, asks(set('<max>1000</max>'), JULIET))).ids.length).toBe(100)
})

conversation('ticks §5.2: a message-id is looked for among the latest two hundred, the newest first', options, async (scene) => {
  const { romeo } = await couple(scene)
  await romeo.sends(says(JULIET, 'first'))
  await romeo.sends(Array.from({ length: 199 }, () => says(JULIET, 'same')).join(''))
  expect((await answerTo(romeo, asks(`<tick peer="${JULIET}" message-id="first"/>`))).ids.length).toBe(1)
  const { last } = await answerTo(romeo, asks('', JULIET))
  expect((await answerTo(romeo, asks(`<tick peer="${JULIET}" message-id="same"/>`))).ids).toEqual([last])
  await romeo.sends(says(JULIET, 'same'))
  expect((await answerTo(romeo, asks(`<tick peer="${JULIET}" message-id="first"/>`))).ids).toEqual([])
})

for (const [what, question, condition] of [
  ['a hundred and one ids', asks('<tick id="00000000001"/>'.repeat(101)), 'policy-violation'],
  [
    'message-ids of eleven peers',
    asks(Array.from({ length: 11 }, (_, n) => `<tick peer="p${n}@verona.example" message-id="x"/>`).join('')),
    'policy-violation',
  ],
  ['nothing', asks(''), 'bad-request'],
  ['ids and a conversation', asks('<tick id="00000000001"/>', JULIET), 'bad-request'],
  ['a tick that names nothing', asks('<tick/>'), 'bad-request'],
  ['a message-id without a peer', asks('<tick message-id="m1"/>'), 'bad-request'],
  ['a peer that is no JID', asks('', '@'), 'jid-malformed'],
  ['a message-id of a peer that is no JID', asks('<tick peer="@" message-id="m1"/>'), 'jid-malformed'],
  ['a max that is no number', asks(set('<max>many</max>'), JULIET), 'bad-request'],
  ['a max below nothing', asks(set('<max>-1</max>'), JULIET), 'bad-request'],
  ['a max beyond any number', asks(set('<max>99999999999999999999</max>'), JULIET), 'bad-request'],
  ['a page by index', asks(set('<index>3</index>'), JULIET), 'feature-not-implemented'],
  ['a page after what is no id', asks(set('<after>m1</after>'), JULIET), 'item-not-found'],
  ['a page before what is no id', asks(set(`<before>${'x'.repeat(5_000)}</before>`), JULIET), 'item-not-found'],
] as const)
  conversation(`ticks §9: ${what} is refused`, options, async (scene) => {
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    await romeo.sends(question)
    const error = (await romeo.next()).getChild('error')
    expect(error?.getChild(condition, 'urn:ietf:params:xml:ns:xmpp-stanzas')).toBeDefined()
    await romeo.receivesNothing()
  })

conversation(
  'ticks §5.2: what is asked while it is being written is answered with all that was written before',
  options,
  async (scene) => {
    const { romeo } = await couple(scene)
    await romeo.sends(says(JULIET, 'm1') + asks(`<tick peer="${JULIET}" message-id="m1"/>`))
    await romeo.receives(xml`<iq type="result" id="q1" from="${ROMEO}" to="${romeo.jid}"><ticks xmlns="${NS}">
    <tick id="${any}" message-id="m1" peer="${JULIET}" state="${any}" stamp="${any}"/></ticks></iq>`)
  },
)
