import { defineModule } from '#server/core/module.ts'
import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import type { DataForm } from '#stanzas/data-form.ts'
import { firstValueOf } from '#stanzas/data-form.ts'
import { badPayload, commands, type Stage } from './commands.ts'

const form = (name: string): DataForm => ({ type: 'form', fields: [{ var: name, type: 'text-single', values: [] }] })

/** Marries two people in two stages; only the friar may. */
const chapel = defineModule({
  name: 'chapel',
  summary: 'A command to try.',
  needs: { commands },
  start({ needs }) {
    const groom = (): Stage => ({
      kind: 'form',
      form: form('groom'),
      isLast: false,
      submit: (first) => ({
        kind: 'form',
        form: form('bride'),
        isLast: true,
        submit(second) {
          const [a, b] = [firstValueOf(first, 'groom'), firstValueOf(second, 'bride')]
          if (b === undefined) throw badPayload('Who is the bride?')
          return { kind: 'done', note: { type: 'info', text: `${a} and ${b}` } }
        },
      }),
    })
    needs.commands.register({ node: 'marry', name: 'Marry', isAllowed: (account) => account.startsWith('friar@'), run: groom })
    needs.commands.register({ node: 'bells', name: 'Ring', isAllowed: () => true, run: () => ({ kind: 'done' }) })
    return {}
  },
})

const options = { modules: [chapel], carriers: ['memory'] as const }
const NS = 'http://jabber.org/protocol/commands'

const execute = (id: string, attrs: string, content = '') =>
  xml`<iq type="set" id="${id}" to="verona.example"><command xmlns="${NS}" ${attrs}>${content}</command></iq>`
const submit = (name: string, value: string) =>
  xml`<x xmlns="jabber:x:data" type="submit"><field var="${name}"><value>${value}</value></field></x>`
const result = (id: string, to: string, attrs: string, content: string) =>
  xml`<iq type="result" id="${id}" from="verona.example" to="${to}"><command xmlns="${NS}" ${attrs}>${content}</command></iq>`
const asks = (name: string) => xml`<x xmlns="jabber:x:data" type="form"><field var="${name}" type="text-single"/></x>`
const failed = (id: string, to: string, type: string, code: number, condition: string, specific: string, text = '') =>
  xml`<iq type="error" id="${id}" from="verona.example" to="${to}"><error type="${type}" code="${code}">
    <${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>${text}<${specific} xmlns="${NS}"/></error></iq>`

conversation('XEP-0050 §2.2: each asker finds the commands it may execute', options, async ({ connect, domain }) => {
  const items = xml`<iq type="get" id="d1" to="${domain}"><query xmlns="http://jabber.org/protocol/disco#items" node="${NS}"/></iq>`
  const info = xml`<iq type="get" id="d2" to="${domain}"><query xmlns="http://jabber.org/protocol/disco#info" node="marry"/></iq>`
  const bells = `<item jid="${domain}" node="bells" name="Ring"/>`
  const friar = await connect('friar@verona.example/cell')
  await friar.sends(items)
  await friar.receives(xml`<iq type="result" id="d1" from="${domain}" to="${friar.jid}">
    <query xmlns="http://jabber.org/protocol/disco#items" node="${NS}">
      <item jid="${domain}" node="marry" name="Marry"/>${bells}</query></iq>`)
  await friar.sends(info)
  await friar.receives(xml`<iq type="result" id="d2" from="${domain}" to="${friar.jid}">
    <query xmlns="http://jabber.org/protocol/disco#info" node="marry">
      <identity category="automation" type="command-node" name="Marry"/>
      <feature var="${NS}"/><feature var="jabber:x:data"/></query></iq>`)
  const romeo = await connect('romeo@verona.example/orchard')
  await romeo.sends(items)
  await romeo.receives(xml`<iq type="result" id="d1" from="${domain}" to="${romeo.jid}">
    <query xmlns="http://jabber.org/protocol/disco#items" node="${NS}">${bells}</query></iq>`)
  await romeo.sends(info)
  await romeo.receives(refusal('forbidden', { id: 'd2', from: domain, to: romeo.jid }))
})

conversation('XEP-0050 §2.4.1: a command without stages completes at once', options, async ({ connect, domain }) => {
  const romeo = await connect('romeo@verona.example/orchard')
  await romeo.sends(execute('e1', 'node="bells"'))
  await romeo.receives(result('e1', romeo.jid, 'node="bells" sessionid="∀" status="completed"', ''))
  await romeo.sends(execute('e2', 'node="marry"'))
  await romeo.receives(refusal('forbidden', { id: 'e2', from: domain, to: romeo.jid }))
  await romeo.sends(execute('e3', 'node="bury"'))
  await romeo.receives(refusal('item-not-found', { id: 'e3', from: domain, to: romeo.jid }))
})

conversation('XEP-0050 §2.4.2: two stages, back and forth again', options, async ({ connect }) => {
  const friar = await connect('friar@verona.example/cell')
  const first = `<actions execute="next"><next/></actions>${asks('groom')}`
  const second = `<actions execute="complete"><prev/><complete/></actions>${asks('bride')}`
  await friar.sends(execute('m1', 'node="marry" action="execute"'))
  const [reply] = await friar.receives(result('m1', friar.jid, 'node="marry" sessionid="∀" status="executing"', first))
  const id = reply?.getChild('command', NS)?.attrs.sessionid ?? ''
  const on = `node="marry" sessionid="${id}"`
  const executing = `${on} status="executing"`
  await friar.sends(execute('m2', on, submit('groom', 'Romeo')))
  await friar.receives(result('m2', friar.jid, executing, second))
  await friar.sends(execute('m3', `${on} action="prev"`))
  await friar.receives(result('m3', friar.jid, executing, first))
  await friar.sends(execute('m4', `${on} action="next"`, submit('groom', 'Romeo')))
  await friar.receives(result('m4', friar.jid, executing, second))
  // §4.4: a form that does not do may be submitted again.
  await friar.sends(execute('m5', on, submit('horse', 'none')))
  const text = '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">Who is the bride?</text>'
  await friar.receives(failed('m5', friar.jid, 'modify', 400, 'bad-request', 'bad-payload', text))
  await friar.sends(execute('m6', `${on} action="complete"`, submit('bride', 'Juliet')))
  await friar.receives(result('m6', friar.jid, `${on} status="completed"`, '<note type="info">Romeo and Juliet</note>'))
  await friar.sends(execute('m7', on, submit('bride', 'Rosaline')))
  await friar.receives(failed('m7', friar.jid, 'cancel', 405, 'not-allowed', 'session-expired'))
})

conversation('XEP-0050 §2.4.3, §3.3: an execution is cancelled, ends by itself, and is nobody else’s', options, async (scene) => {
  const friar = await scene.connect('friar@verona.example/cell')
  const begin = async () => {
    await friar.sends(execute('b1', 'node="marry"'))
    const [reply] = await friar.collects()
    return `node="marry" sessionid="${reply?.getChild('command', NS)?.attrs.sessionid}"`
  }
  const first = await begin()
  await friar.sends(execute('c1', `${first} action="cancel"`))
  await friar.receives(result('c1', friar.jid, `${first} status="canceled"`, ''))
  const second = await begin()
  const cloister = await scene.connect('friar@verona.example/cloister')
  await cloister.sends(execute('c2', `${second} action="cancel"`))
  await cloister.receives(failed('c2', cloister.jid, 'modify', 400, 'bad-request', 'bad-sessionid'))
  scene.clock.advance('10m')
  await friar.sends(execute('c3', `${second} action="cancel"`))
  await friar.receives(failed('c3', friar.jid, 'cancel', 405, 'not-allowed', 'session-expired'))
  const oldest = await begin()
  for (let i = 0; i < 8; i++) await begin()
  await friar.sends(execute('c4', `${oldest} action="cancel"`))
  await friar.receives(failed('c4', friar.jid, 'cancel', 405, 'not-allowed', 'session-expired'))
})

conversation('XEP-0050 §4.4: actions that are none, or not possible now', options, async ({ connect }) => {
  const friar = await connect('friar@verona.example/cell')
  await friar.sends(execute('a1', 'node="marry" action="annul"'))
  await friar.receives(failed('a1', friar.jid, 'modify', 400, 'bad-request', 'malformed-action'))
  await friar.sends(execute('a2', 'node="marry"'))
  const [reply] = await friar.collects()
  const on = `node="marry" sessionid="${reply?.getChild('command', NS)?.attrs.sessionid}"`
  for (const action of ['prev', 'complete']) {
    await friar.sends(execute('a3', `${on} action="${action}"`, submit('groom', 'Romeo')))
    await friar.receives(failed('a3', friar.jid, 'modify', 400, 'bad-request', 'bad-action'))
  }
})
