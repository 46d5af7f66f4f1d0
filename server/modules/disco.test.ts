import { defineModule } from '#server/core/module.ts'
import { type Actor, conversation, refusal, xml } from '#server/testing/conversation.ts'
import { parseJid } from '#stanzas/jid.ts'
import { disco } from './disco.ts'
import { presence } from './presence.ts'
import { vcard } from './vcard.ts'

const INFO = 'http://jabber.org/protocol/disco#info'
const ITEMS = 'http://jabber.org/protocol/disco#items'
const modules = [presence, vcard, disco]

const ask = (ns: string, to?: string, node?: string) =>
  xml`<iq type="get" id="d1"${to === undefined ? '' : ` to="${to}"`}><query xmlns="${ns}"${node === undefined ? '' : ` node="${node}"`}/></iq>`
const answer = (to: Actor, from: string, ns: string, content: string, node?: string) =>
  xml`<iq type="result" id="d1" from="${from}" to="${to.jid}"><query xmlns="${ns}"${node === undefined ? '' : ` node="${node}"`}>${content}</query></iq>`
const features = (...all: readonly string[]) => all.map((feature) => `<feature var="${feature}"/>`).join('')

const ACCOUNT = `<identity category="account" type="registered"/>${features('urn:xmpp:ping', 'vcard-temp', INFO, ITEMS)}`

conversation(
  'XEP-0030 §3.1: the server tells what it is, and the features of exactly the modules that run',
  { modules },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(INFO, domain))
    await juliet.receives(
      answer(
        juliet,
        domain,
        INFO,
        `<identity category="server" type="im" name="Waxwing"/>${features('urn:xmpp:ping', 'jabber:iq:roster', 'vcard-temp', INFO, ITEMS)}`,
      ),
    )
  },
)

conversation(
  'XEP-0030 §3.1: the operator names the server',
  { modules: [disco], config: { modules: { disco: { name: 'Verona & Co' } } } },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(INFO, domain))
    await juliet.receives(
      answer(
        juliet,
        domain,
        INFO,
        `<identity category="server" type="im" name="Verona &amp; Co"/>${features('urn:xmpp:ping', 'jabber:iq:roster', INFO, ITEMS)}`,
      ),
    )
  },
)

conversation('XEP-0030 §3.1: the own account is registered and tells its features', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  for (const to of [undefined, juliet.bareJid]) {
    await juliet.sends(ask(INFO, to))
    await juliet.receives(answer(juliet, juliet.bareJid, INFO, ACCOUNT))
  }
})

conversation('XEP-0030 §3.1, §4.1: a contact learns of the account and its available resources', { modules }, async (scene) => {
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  await scene.befriend(romeo, juliet)
  await scene.connect('juliet@verona.example/silent')
  await romeo.sends(ask(INFO, juliet.bareJid))
  await romeo.receives(answer(romeo, juliet.bareJid, INFO, ACCOUNT))
  await romeo.sends(ask(ITEMS, juliet.bareJid))
  await romeo.receives(answer(romeo, juliet.bareJid, ITEMS, `<item jid="${juliet.jid}"/>`))
})

conversation(
  'XEP-0030 §8, RFC 6121 §8.5.1: to a stranger an account looks as if it did not exist',
  { modules },
  async ({ connect, comesOnline }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    const tybalt = await connect('tybalt@verona.example/square')
    for (const to of [juliet.bareJid, 'nobody@verona.example'])
      for (const node of [undefined, 'urn:some:node']) {
        await tybalt.sends(ask(INFO, to, node))
        await tybalt.receives(refusal('service-unavailable', { id: 'd1', from: to, to: tybalt.jid }))
        await tybalt.sends(ask(ITEMS, to, node))
        await tybalt.receives(answer(tybalt, to, ITEMS, '', node))
      }
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0030 §4.1: a server without services has no items, and that is no error',
  { modules },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(ITEMS, domain))
    await juliet.receives(answer(juliet, domain, ITEMS, ''))
  },
)

conversation('XEP-0030 §7: a node that does not exist is not found', { modules }, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  for (const to of [domain, juliet.bareJid])
    for (const ns of [INFO, ITEMS]) {
      await juliet.sends(ask(ns, to, 'urn:some:node'))
      await juliet.receives(refusal('item-not-found', { id: 'd1', from: to, to: juliet.jid }))
    }
})

/** What other modules do with the API. */
const rooms = defineModule({
  name: 'rooms',
  summary: 'Stands for a service.',
  needs: { disco },
  start({ needs }) {
    const address = parseJid('rooms.verona.example')
    if (address !== undefined) needs.disco.addItem(address, 'Rooms')
    needs.disco.addForm({
      type: 'result',
      fields: [
        { var: 'FORM_TYPE', type: 'hidden', values: ['urn:example:form'] },
        { var: 'size', values: ['7'] },
      ],
    })
    needs.disco.addInfoNode((node) =>
      node === 'rooms' ? { identities: [{ category: 'hierarchy', type: 'leaf' }], features: [INFO], forms: [] } : undefined,
    )
    return {}
  },
})

conversation(
  'XEP-0030 §4.1, §3.2, XEP-0128 §2: modules add items, nodes and forms',
  { modules: [rooms] },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(ITEMS, domain))
    await juliet.receives(answer(juliet, domain, ITEMS, '<item jid="rooms.verona.example" name="Rooms"/>'))
    await juliet.sends(ask(INFO, domain, 'rooms'))
    await juliet.receives(
      answer(juliet, domain, INFO, `<identity category="hierarchy" type="leaf"/><feature var="${INFO}"/>`, 'rooms'),
    )
    await juliet.sends(ask(INFO, domain))
    await juliet.receives(
      answer(
        juliet,
        domain,
        INFO,
        `<identity category="server" type="im" name="Waxwing"/>${features('urn:xmpp:ping', 'jabber:iq:roster', INFO, ITEMS)}
       <x xmlns="jabber:x:data" type="result"><field var="FORM_TYPE" type="hidden"><value>urn:example:form</value></field>
         <field var="size"><value>7</value></field></x>`,
      ),
    )
  },
)
