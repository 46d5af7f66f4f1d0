import { conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { privateXml } from './private-xml.ts'

const modules = [privateXml]
const get = (inner: string, id = 'p1') => xml`<iq type="get" id="${id}"><query xmlns="jabber:iq:private">${inner}</query></iq>`
const set = (inner: string, id = 'p1') => xml`<iq type="set" id="${id}"><query xmlns="jabber:iq:private">${inner}</query></iq>`
const PREFS = '<exodus xmlns="exodus:prefs"><defaultnick xml:lang="da">Håmlet &amp; Co</defaultnick></exodus>'

const enters = async ({ connect }: Scene) => {
  const hamlet = await connect('hamlet@verona.example/denmark')
  const answer = (inner: string, id = 'p1') =>
    xml`<iq type="result" id="${id}" from="${hamlet.bareJid}" to="${hamlet.jid}"><query xmlns="jabber:iq:private">${inner}</query></iq>`
  const done = (id = 'p1') => xml`<iq type="result" id="${id}" from="${hamlet.bareJid}" to="${hamlet.jid}"/>`
  const refused = (condition: Parameters<typeof refusal>[0]) =>
    refusal(condition, { id: 'p1', from: hamlet.bareJid, to: hamlet.jid })
  return { hamlet, answer, done, refused }
}

conversation('XEP-0049 §2.3: what was set is got back, on another device too', { modules }, async (scene) => {
  const { hamlet, answer, done } = await enters(scene)
  await hamlet.sends(set(PREFS))
  await hamlet.receives(done())
  await hamlet.sends(get('<exodus xmlns="exodus:prefs"/>'))
  await hamlet.receives(answer(PREFS))
  const phone = await scene.connect('hamlet@verona.example/phone')
  await phone.sends(get('<exodus xmlns="exodus:prefs"/>'))
  await phone.receives(answer(PREFS).replace(hamlet.jid, phone.jid))
  await hamlet.sends(set('<exodus xmlns="exodus:prefs"/>'))
  await hamlet.receives(done())
  await hamlet.sends(get('<exodus xmlns="exodus:prefs"/>'))
  await hamlet.receives(answer('<exodus xmlns="exodus:prefs"/>'))
})

conversation('XEP-0049 §2.3: what was never set is empty', { modules }, async (scene) => {
  const { hamlet, answer } = await enters(scene)
  await hamlet.sends(get('<storage xmlns="storage:bookmarks"/>'))
  await hamlet.receives(answer('<storage xmlns="storage:bookmarks"/>'))
})

conversation(
  'XEP-0049 §2.3: one set may hold several elements, and replaces those of the same name only',
  { modules },
  async (scene) => {
    const { hamlet, answer, done } = await enters(scene)
    await hamlet.sends(
      set('<note xmlns="my:notes">one</note><note xmlns="my:notes">two</note><colour xmlns="my:notes">blue</colour>'),
    )
    await hamlet.receives(done())
    await hamlet.sends(get('<note xmlns="my:notes"/>'))
    await hamlet.receives(answer('<note xmlns="my:notes">one</note><note xmlns="my:notes">two</note>'))
    await hamlet.sends(set('<note xmlns="my:notes">three</note>'))
    await hamlet.receives(done())
    await hamlet.sends(get('<colour xmlns="my:notes"/><note xmlns="my:notes"/>'))
    await hamlet.receives(answer('<colour xmlns="my:notes">blue</colour><note xmlns="my:notes">three</note>'))
  },
)

conversation('XEP-0049 §3: a get without a child, or of two namespaces, is refused', { modules }, async (scene) => {
  const { hamlet, refused } = await enters(scene)
  await hamlet.sends(get(''))
  await hamlet.receives(refused('bad-request'))
  await hamlet.sends(get('<a xmlns="one"/><a xmlns="two"/>'))
  await hamlet.receives(refused('bad-request'))
})

conversation(
  'XEP-0049 §2.3: a set without a child, or of one without a namespace of its own, is refused',
  { modules },
  async (scene) => {
    const { hamlet, refused } = await enters(scene)
    await hamlet.sends(set(''))
    await hamlet.receives(refused('not-acceptable'))
    await hamlet.sends(set('<defaultnick>Hamlet</defaultnick>'))
    await hamlet.receives(refused('not-acceptable'))
  },
)

conversation(
  'XEP-0049 §2.3, §4: nobody gets or sets what belongs to another, whether or not that account exists',
  { modules },
  async (scene) => {
    const { hamlet } = await enters(scene)
    await hamlet.sends(set(PREFS))
    await hamlet.ignores()
    const macbeth = await scene.connect('macbeth@verona.example/dunsinane')
    for (const to of [hamlet.bareJid, 'nobody@verona.example'])
      for (const type of ['get', 'set']) {
        await macbeth.sends(xml`<iq type="${type}" id="p2" to="${to}"><query xmlns="jabber:iq:private">${PREFS}</query></iq>`)
        await macbeth.receives(refusal('forbidden', { id: 'p2', from: to, to: macbeth.jid }))
      }
    await hamlet.receivesNothing()
  },
)

conversation(
  'XEP-0049: what is too large, or one too many, is refused and changes nothing',
  { modules, config: { modules: { 'private-xml': { maxBytes: '1 KiB', maxDocuments: 2 } } } },
  async (scene) => {
    const { hamlet, answer, done } = await enters(scene)
    const refused = (text: string) =>
      refusal('policy-violation', { id: 'p1', from: hamlet.bareJid, to: hamlet.jid }).replace(
        '</error>',
        `<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">${text}</text></error>`,
      )
    await hamlet.sends(set(`<a xmlns="one">${'é'.repeat(600)}</a>`))
    await hamlet.receives(refused('at most 1024 bytes are kept of each'))
    await hamlet.sends(set('<a xmlns="one"/><a xmlns="two"/><a xmlns="three"/>'))
    await hamlet.receives(refused('at most 2 are kept'))
    await hamlet.sends(set('<a xmlns="one">1</a><a xmlns="two">2</a>'))
    await hamlet.receives(done())
    await hamlet.sends(set('<a xmlns="three">3</a>'))
    await hamlet.receives(refused('at most 2 are kept'))
    await hamlet.sends(set('<a xmlns="one">still</a>'))
    await hamlet.receives(done())
    await hamlet.sends(get('<a xmlns="one"/>'))
    await hamlet.receives(answer('<a xmlns="one">still</a>'))
  },
)

conversation('XEP-0049: what is asked for a thousand times is answered once', { modules }, async (scene) => {
  const { hamlet, answer, done } = await enters(scene)
  await hamlet.sends(set(PREFS.repeat(2)))
  await hamlet.receives(done())
  await hamlet.sends(get('<exodus xmlns="exodus:prefs"/>'.repeat(1_000)))
  await hamlet.receives(answer(PREFS.repeat(2)))
})

conversation('XEP-0049: it goes with the account', { modules }, async (scene) => {
  const { hamlet, answer } = await enters(scene)
  await hamlet.sends(set(PREFS))
  await hamlet.ignores()
  await scene.server.accounts.delete(hamlet.bareJid)
  await scene.settle()
  const again = await scene.connect('hamlet@verona.example/denmark')
  await again.sends(get('<exodus xmlns="exodus:prefs"/>'))
  await again.receives(answer('<exodus xmlns="exodus:prefs"/>'))
})
