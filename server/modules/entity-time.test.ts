import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import { entityTime } from './entity-time.ts'

const modules = [entityTime]
const ask = (to: string) => xml`<iq type="get" id="t1" to="${to}"><time xmlns="urn:xmpp:time"/></iq>`

conversation('XEP-0202 §2: the server says its time and its zone', { modules }, async ({ connect, domain, clock }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  clock.advance('90s')
  await juliet.sends(ask(domain))
  await juliet.receives(xml`<iq type="result" id="t1" from="${domain}" to="${juliet.jid}">
    <time xmlns="urn:xmpp:time"><tzo>Z</tzo><utc>2026-01-01T00:01:30.000Z</utc></time></iq>`)
})

conversation('XEP-0202 §3: an account has no time of its own', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask(juliet.bareJid))
  await juliet.receives(refusal('service-unavailable', { id: 't1', from: juliet.bareJid, to: juliet.jid }))
})
