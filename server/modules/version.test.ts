import { operatingSystem } from '#server/base/operating-system.ts'
import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import { version } from './version.ts'

const modules = [version]
const ask = (to: string) => xml`<iq type="get" id="v1" to="${to}"><query xmlns="jabber:iq:version"/></iq>`

conversation('XEP-0092 §2: the server says its name and version', { modules }, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask(domain))
  await juliet.receives(xml`<iq type="result" id="v1" from="${domain}" to="${juliet.jid}">
    <query xmlns="jabber:iq:version"><name>Waxwing</name><version>0.0.0-test</version></query></iq>`)
})

conversation(
  'XEP-0092 §5: the operating system is told only where the operator says so',
  { modules, config: { modules: { version: { showOperatingSystem: true } } } },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(domain))
    await juliet.receives(xml`<iq type="result" id="v1" from="${domain}" to="${juliet.jid}">
      <query xmlns="jabber:iq:version"><name>Waxwing</name><version>0.0.0-test</version><os>${operatingSystem()}</os></query></iq>`)
  },
)

conversation(
  'XEP-0092 §3: an account has no version, and nobody sets that of the server',
  { modules },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(ask(juliet.bareJid))
    await juliet.receives(refusal('service-unavailable', { id: 'v1', from: juliet.bareJid, to: juliet.jid }))
    await juliet.sends(xml`<iq type="set" id="v2" to="${domain}"><query xmlns="jabber:iq:version"/></iq>`)
    await juliet.receives(refusal('service-unavailable', { id: 'v2', from: domain, to: juliet.jid }))
  },
)
