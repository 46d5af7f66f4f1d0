import { expect, test } from 'vitest'
import { loadConfig } from '#server/base/config.ts'
import { conversation, xml } from '#server/testing/conversation.ts'
import { show } from '#server/testing/match.ts'
import { contactAddresses } from './contact-addresses.ts'

const INFO = 'http://jabber.org/protocol/disco#info'
const modules = [contactAddresses]

conversation(
  'XEP-0157 §3: the server tells the addresses that its operator wrote, and no others',
  {
    modules,
    config: {
      modules: {
        'contact-addresses': {
          abuse: ['mailto:abuse@verona.example', 'xmpp:abuse@verona.example'],
          status: ['https://status.verona.example'],
        },
      },
    },
  },
  async ({ connect, domain }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    await juliet.sends(xml`<iq type="get" id="d1" to="${domain}"><query xmlns="${INFO}"/></iq>`)
    const form = (await juliet.next()).getChild('query', INFO)?.getChild('x', 'jabber:x:data')
    expect(form === undefined ? undefined : show(form).split('\n')).toEqual([
      "<x xmlns='jabber:x:data' type='result'>",
      "  <field type='hidden' var='FORM_TYPE'>",
      '    <value>http://jabber.org/network/serverinfo</value>',
      '  </field>',
      "  <field var='abuse-addresses'>",
      '    <value>mailto:abuse@verona.example</value>',
      '    <value>xmpp:abuse@verona.example</value>',
      '  </field>',
      "  <field var='status-addresses'>",
      '    <value>https://status.verona.example</value>',
      '  </field>',
      '</x>',
    ])
  },
)

conversation('XEP-0157 §3: without addresses there is no form', { modules }, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<iq type="get" id="d1" to="${domain}"><query xmlns="${INFO}"/></iq>`)
  expect((await juliet.next()).getChild('query', INFO)?.getChild('x', 'jabber:x:data')).toBeUndefined()
})

test('XEP-0157 §3: what is no URI is refused when the server starts', () => {
  const written = { modules: { 'contact-addresses': { status: ['status page'] } } }
  expect(() => loadConfig({ overrides: written, modules: { 'contact-addresses': contactAddresses.config } })).toThrow(
    '"status page"',
  )
})
