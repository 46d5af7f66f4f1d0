import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import { vcard } from './vcard.ts'

const modules = [vcard]
const CARD =
  '<vCard xmlns="vcard-temp" version="3.0"><FN>Juliet Çapulet</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO></vCard>'
const get = (to?: string) => xml`<iq type="get" id="v1"${to === undefined ? '' : ` to="${to}"`}><vCard xmlns="vcard-temp"/></iq>`
const set = (card: string, to?: string) => xml`<iq type="set" id="v2"${to === undefined ? '' : ` to="${to}"`}>${card}</iq>`

conversation(
  'XEP-0054 §3.1, §3.2, §3.3: Juliet sets her card, and she and a stranger read it',
  { modules },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const tybalt = await connect('tybalt@verona.example/square')
    await juliet.sends(set(CARD))
    await juliet.receives(xml`<iq type="result" id="v2" from="${juliet.bareJid}" to="${juliet.jid}"/>`)
    await juliet.sends(get())
    await juliet.receives(xml`<iq type="result" id="v1" from="${juliet.bareJid}" to="${juliet.jid}">${CARD}</iq>`)
    await tybalt.sends(get(juliet.bareJid))
    await tybalt.receives(xml`<iq type="result" id="v1" from="${juliet.bareJid}" to="${tybalt.jid}">${CARD}</iq>`)
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0054 §3.1: the own card is empty until it is set, and after it is emptied',
  { modules },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const empty = xml`<iq type="result" id="v1" from="${juliet.bareJid}" to="${juliet.jid}"><vCard xmlns="vcard-temp"/></iq>`
    await juliet.sends(get())
    await juliet.receives(empty)
    await juliet.sends(set(CARD))
    await juliet.sends(set('<vCard xmlns="vcard-temp"/>'))
    await juliet.ignores()
    await juliet.sends(get())
    await juliet.receives(empty)
  },
)

conversation(
  'XEP-0054 §3.3, RFC 6121 §8.5.1: no card and no account look the same',
  { modules },
  async ({ connect, createAccount }) => {
    await createAccount('romeo@verona.example')
    const tybalt = await connect('tybalt@verona.example/square')
    for (const to of ['romeo@verona.example', 'nobody@verona.example']) {
      await tybalt.sends(get(to))
      await tybalt.receives(refusal('service-unavailable', { id: 'v1', from: to, to: tybalt.jid }))
    }
  },
)

conversation('XEP-0054 §3.2: nobody sets the card of another', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const tybalt = await connect('tybalt@verona.example/square')
  await tybalt.sends(set(CARD, juliet.bareJid))
  await tybalt.receives(refusal('forbidden', { id: 'v2', from: juliet.bareJid, to: tybalt.jid }))
  await juliet.sends(get())
  await juliet.receives(
    xml`<iq type="result" id="v1" from="${juliet.bareJid}" to="${juliet.jid}"><vCard xmlns="vcard-temp"/></iq>`,
  )
})

conversation(
  'XEP-0054: a card that is too large is refused, and the old one stays',
  { modules, config: { modules: { vcard: { maxBytes: '1 KiB' } } } },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(set(CARD))
    await juliet.ignores()
    await juliet.sends(set(`<vCard xmlns="vcard-temp"><DESC>${'ö'.repeat(500)}</DESC></vCard>`))
    await juliet.receives(
      refusal('policy-violation', { id: 'v2', from: juliet.bareJid, to: juliet.jid }).replace(
        '</error>',
        '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">a card may have 1024 bytes</text></error>',
      ),
    )
    await juliet.sends(get())
    await juliet.receives(xml`<iq type="result" id="v1" from="${juliet.bareJid}" to="${juliet.jid}">${CARD}</iq>`)
  },
)

conversation('XEP-0054: it goes with the account', { modules }, async ({ connect, server, settle }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(set(CARD))
  await server.accounts.delete(juliet.bareJid)
  await settle()
  const tybalt = await connect('tybalt@verona.example/square')
  await tybalt.sends(get('juliet@verona.example'))
  await tybalt.receives(refusal('service-unavailable', { id: 'v1', from: 'juliet@verona.example', to: tybalt.jid }))
})
