import { defineModule, onGet } from '#server/core/module.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, refusal, xml } from '#server/testing/conversation.ts'
import { el } from '#stanzas/element.ts'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { NS_CLIENT } from '#stanzas/namespaces.ts'
import { stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'

const NS_ECHO = 'urn:example:echo'

/** Sends messages and presence back, and refuses those to Echo's twin. */
const echo = defineModule({
  name: 'echo',
  summary: 'Answers from mountains.',
  start({ domain, router }) {
    const reply = (kind: 'message' | 'presence', from: Address, to: Address, type?: string): void => {
      if (from.localpart === 'twin') throw new StanzaError('gone')
      router.route(stanza(kind, { from, to, ...(type !== undefined && { type }) }, el(NS_CLIENT, 'body', {}, 'back')))
    }
    return {
      services: [
        {
          address: parseJid(`echo.${domain.jid}`) ?? domain,
          iq: [
            onGet(NS_ECHO, 'query', 'server', () => el(NS_ECHO, 'query', { of: 'the service' })),
            onGet(NS_ECHO, 'query', 'account', ({ to }) => el(NS_ECHO, 'query', { of: to })),
          ],
          message: ({ from, to }) => reply('message', to, from),
          presence: ({ from, to, stanza: { type } }) => reply('presence', to, from, type),
        },
      ],
    }
  },
})

const modules = [presence, echo]
const ask = (id: string, to: string) => xml`<iq type="get" id="${id}" to="${to}"><query xmlns="urn:example:echo"/></iq>`

conversation('RFC 6120 §10.5: a service answers requests to itself, and to addresses at it', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(ask('e1', 'echo.verona.example'))
  await juliet.receives(
    xml`<iq type="result" id="e1" from="echo.verona.example" to="${juliet.jid}"><query xmlns="urn:example:echo" of="the service"/></iq>`,
  )
  await juliet.sends(ask('e2', 'hill@echo.verona.example'))
  await juliet.receives(
    xml`<iq type="result" id="e2" from="hill@echo.verona.example" to="${juliet.jid}"><query xmlns="urn:example:echo" of="hill@echo.verona.example"/></iq>`,
  )
})

conversation('RFC 6120 §10.5: a service takes messages, or says why not', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<message to="hill@echo.verona.example"><body>hello</body></message>`)
  await juliet.receives(
    xml`<message from="hill@echo.verona.example" to="${juliet.jid}"><body>back</body><stanza-id xmlns="urn:xmpp:sid:0" by="${juliet.bareJid}" id="${any}"/></message>`,
  )
  await juliet.sends(xml`<message id="m1" to="twin@echo.verona.example"><body>hello</body></message>`)
  await juliet.receives(refusal('gone', { kind: 'message', id: 'm1', from: 'twin@echo.verona.example', to: juliet.jid }))
})

conversation('RFC 6121 §4.6.3: a service is told when a session that greeted it goes', { modules }, async ({ connect }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  const watcher = await connect('romeo@verona.example/orchard')
  await juliet.sends(xml`<presence to="hill@echo.verona.example/cave"/>`)
  await juliet.receives(xml`<presence from="hill@echo.verona.example/cave" to="${juliet.jid}"><body>back</body></presence>`)
  await juliet.sends(xml`<presence type="unavailable"/>`)
  await juliet.receives(
    xml`<presence type="unavailable" from="hill@echo.verona.example/cave" to="${juliet.jid}"><body>back</body></presence>`,
  )
  await watcher.sends(xml`<presence id="p1" to="twin@echo.verona.example"/>`)
  await watcher.receives(refusal('gone', { kind: 'presence', id: 'p1', from: 'twin@echo.verona.example', to: watcher.jid }))
  await watcher.sends(xml`<presence id="p2" to="nobody.verona.example"/>`)
  await watcher.receives(
    refusal('remote-server-not-found', { kind: 'presence', id: 'p2', from: 'nobody.verona.example', to: watcher.jid }),
  )
})
