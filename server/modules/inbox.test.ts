import { expect } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { heaviestRead } from '#server/testing/heaviest-read.ts'
import { wire } from '#stanzas/wire.ts'
import { disco } from './disco.ts'
import { inbox } from './inbox.ts'
import { offline } from './offline.ts'

const modules = [offline, disco, inbox]
const memory = { modules, carriers: ['memory'] } as const
const NS = 'urn:xmpp:inbox:1'
const RSM = 'http://jabber.org/protocol/rsm'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const NURSE = 'nurse@verona.example'

const says = (to: string, id: string) => xml`<message type="chat" to="${to}" id="${id}"><body>${id}</body></message>`
const displayed = (to: string, id: string) =>
  xml`<message to="${to}"><displayed xmlns="urn:xmpp:chat-markers:0" id="${id}"/></message>`
const asks = (attributes = '', content = '') =>
  xml`<iq type="get" id="i1"><inbox xmlns="${NS}"${attributes}>${content}</inbox></iq>`
const set = (content: string) => `<set xmlns="${RSM}">${content}</set>`

const entry = (to: Actor, jid: string, unread: number, more = '') =>
  xml`<message from="${to.bareJid}" to="${to.jid}"><entry xmlns="${NS}" jid="${jid}" unread="${unread}" id="${any}"/>${more}</message>`
const result = (from: string, id: string, to = JULIET) => `<result xmlns="urn:xmpp:mam:2" queryid="i1" id="${any}">
  <forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" from="verona.example" stamp="${any}"/>
    <message xmlns="jabber:client" from="${from}" to="${to}" type="chat" id="${id}"><body>${id}</body></message></forwarded></result>`
const fin = (to: Actor, sums: string, page = `<first>${any}</first><last>${any}</last>`, count = '') =>
  xml`<iq type="result" id="i1" from="${to.bareJid}" to="${to.jid}"><fin xmlns="${NS}" ${sums}><set xmlns="${RSM}">${page}${count}</set></fin></iq>`

/** Juliet, who has one unread message of Romeo's, none of the nurse's and two of Tybalt's, the newest. */
const company = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  const nurse = await scene.comesOnline(`${NURSE}/street`)
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  await romeo.sends(says(JULIET, 'm1'))
  await nurse.sends(says(JULIET, 'n1'))
  await juliet.sends(displayed(NURSE, 'n1'))
  await tybalt.sends(says(JULIET, 't1') + says(JULIET, 't2'))
  await juliet.ignores()
  return { juliet, romeo, nurse, tybalt }
}
const SUMS = 'total="3" unread="2" all-unread="3"'

conversation('XEP-0430 §2.1: an account says that it has an inbox', { modules }, async (scene) => {
  const juliet = await scene.connect(`${JULIET}/balcony`)
  await juliet.sends(xml`<iq type="get" id="d1" to="${JULIET}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>`)
  const query = (await juliet.next()).getChild('query', 'http://jabber.org/protocol/disco#info')
  expect(query?.getChildren('feature').map(({ attrs }) => attrs.var)).toContain(NS)
})

conversation(
  'XEP-0430 §3.1, §5: entries, newest first, with what is unread and the last message, then the sums',
  { modules },
  async (scene) => {
    const { juliet, romeo, nurse, tybalt } = await company(scene)
    await juliet.sends(asks())
    const got = await juliet.receives(
      entry(juliet, tybalt.bareJid, 2, result(tybalt.jid, 't2')),
      entry(juliet, NURSE, 0, result(nurse.jid, 'n1')),
      entry(juliet, ROMEO, 1, result(romeo.jid, 'm1')),
      fin(juliet, SUMS, undefined, '<count>3</count>'),
    )
    for (const message of got.slice(0, 3))
      expect(message.getChild('entry', NS)?.attrs.id).toBe(message.getChild('result', 'urn:xmpp:mam:2')?.attrs.id)
  },
)

conversation('XEP-0430 §3.1: without messages there are entries alone', memory, async (scene) => {
  const { juliet, tybalt } = await company(scene)
  await juliet.sends(asks(' messages="false"', set('<max>1</max>')))
  await juliet.receives(entry(juliet, tybalt.bareJid, 2), fin(juliet, SUMS, undefined, '<count>3</count>'))
})

conversation('XEP-0430 §3.1: only what is unread', memory, async (scene) => {
  const { juliet, tybalt } = await company(scene)
  await juliet.sends(asks(' messages="0" unread-only="true"'))
  await juliet.receives(
    entry(juliet, tybalt.bareJid, 2),
    entry(juliet, ROMEO, 1),
    fin(juliet, SUMS, undefined, '<count>2</count>'),
  )
})

conversation('XEP-0430 §3.1, XEP-0059 §2.2: page by page', memory, async (scene) => {
  const { juliet } = await company(scene)
  const seen: (string | undefined)[] = []
  for (let after = ''; ; ) {
    await juliet.sends(asks(' messages="false"', set(`<max>2</max>${after === '' ? '' : `<after>${after}</after>`}`)))
    const stanzas = await juliet.collects()
    seen.push(...stanzas.flatMap((stanza) => stanza.getChild('entry', NS)?.attrs.jid ?? []))
    after = stanzas.at(-1)?.getChild('fin', NS)?.getChild('set', RSM)?.getChildText('last') ?? ''
    if (after === '') break
  }
  expect(seen).toEqual(['tybalt@verona.example', NURSE, ROMEO])
  await juliet.sends(asks('', set('<max>0</max>')))
  await juliet.receives(fin(juliet, SUMS, '', '<count>3</count>'))
})

conversation('XEP-0430 §4: a marker reads it and all before it, a receipt nothing', memory, async (scene) => {
  const { juliet } = await company(scene)
  const allUnread = async () => {
    await juliet.ignores()
    await juliet.sends(asks('', set('<max>0</max>')))
    return (await juliet.next()).getChild('fin', NS)?.attrs['all-unread']
  }
  await juliet.sends(xml`<message to="tybalt@verona.example"><received xmlns="urn:xmpp:receipts" id="t2"/></message>`)
  expect(await allUnread()).toBe('3')
  await juliet.sends(displayed('tybalt@verona.example', 't2'))
  expect(await allUnread()).toBe('1')
})

conversation('XEP-0430 §3.1: the inbox of another is not shown', memory, async (scene) => {
  const { romeo } = await company(scene)
  await romeo.sends(xml`<iq type="get" id="i1" to="${JULIET}"><inbox xmlns="${NS}"/></iq>`)
  await romeo.receives(refusal('forbidden', { id: 'i1', from: JULIET, to: romeo.jid }))
})

for (const [what, question, condition] of [
  ['a choice that is none', asks(' unread-only="perhaps"'), 'bad-request'],
  ['a max that is no number', asks('', set('<max/>')), 'bad-request'],
  ['a page by index', asks('', set('<index>1</index>')), 'feature-not-implemented'],
  ['a page backwards', asks('', set('<before/>')), 'feature-not-implemented'],
  ['a page after nobody', asks('', set('<after>nobody</after>')), 'item-not-found'],
  ['an id that is repeated in every result and far too long', asks().replace('i1', 'i'.repeat(300)), 'policy-violation'],
] as const)
  conversation(`XEP-0430 §3.1: ${what} is refused`, memory, async (scene) => {
    const { juliet } = await company(scene)
    await juliet.sends(question)
    const error = (await juliet.next()).getChild('error')
    expect(error?.getChild(condition, 'urn:ietf:params:xml:ns:xmpp-stanzas')).toBeDefined()
    await juliet.receivesNothing()
  })

conversation(
  'XEP-0059 §2.1: large messages of strangers make a page short, and the client is not cut off',
  memory,
  async (scene) => {
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    for (let i = 0; i < 8; i++) {
      const stranger = await scene.comesOnline(`stranger${i}@verona.example/x`)
      await stranger.sends(xml`<message type="chat" to="${JULIET}" id="m"><body>${'x'.repeat(100_000)}</body></message>`)
    }
    await juliet.ignores()
    const read = heaviestRead(scene.driver.log)
    const seen: string[] = []
    for (let after = ''; seen.length < 8; ) {
      await juliet.sends(asks('', set(after === '' ? '' : `<after>${after}</after>`)))
      const page = await juliet.collects()
      const entries = page.flatMap((message) => message.getChild('entry', NS) ?? [])
      expect(entries.length).toBe(2)
      seen.push(...entries.map(({ attrs }) => attrs.jid ?? ''))
      after = page.at(-1)?.getChild('fin', NS)?.getChild('set', RSM)?.getChildText('last') ?? ''
      expect(after).toBe(entries.at(-1)?.attrs.id)
    }
    expect(new Set(seen).size).toBe(8)
    expect(read.most).toBeLessThan(400_000)
  },
)

conversation('XEP-0430 §3.1: of a thousand conversations those are found and summed that are unread', memory, async (scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const CHATS = 1_100
  const peer = (n: number) => `p${n}@verona.example`
  const isUnread = (n: number) => n % 20 === 0
  // In each conversation she answered first, and in every twentieth that was not the end of it.
  for (let n = 0; n < CHATS; n++)
    for (const [at, direction] of (isUnread(n) ? ['out', 'in', 'in'] : ['out']).entries())
      scene.driver.log.append(
        {
          id: n * 3 + at + 1,
          atMs: 0,
          stanza: wire(`<message id='m${n}'><body>x</body></message>`),
          isText: true,
          places: [
            {
              owner: juliet.bareJid,
              peer: peer(n),
              direction: direction === 'in' ? 'in' : 'out',
              isPending: false,
              isTransient: false,
            },
          ],
        },
        () => undefined,
      )
  await juliet.sends(asks(' messages="false" unread-only="true"', set('<max>48</max>')))
  // The first hundred are older than the newest thousand, so that 50 of 55 are seen.
  const unread = Array.from({ length: 48 }, (_, at) => entry(juliet, peer(CHATS - 20 - at * 20), 2))
  await juliet.receives(
    ...unread,
    fin(juliet, 'total="1000" unread="50" all-unread="100"', `<first>${any}</first><last>${any}</last>`, '<count>50</count>'),
  )
})
