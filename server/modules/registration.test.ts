import { expect } from 'vitest'
import { conversation, xml } from '#server/testing/conversation.ts'
import { registration } from './registration.ts'

const modules = [registration]

conversation('XEP-0077 §3.1: a client makes an account and logs in', { modules, isDev: true }, async ({ visit, domain }) => {
  const juliet = await visit()
  const features = await juliet.opensStream()
  expect(features.getChild('register', 'http://jabber.org/features/iq-register')).toBeDefined()
  await juliet.sends(xml`<iq type="get" id="r1" to="${domain}"><query xmlns="jabber:iq:register"/></iq>`)
  await juliet.receives(xml`<iq type="result" id="r1" from="${domain}"><query xmlns="jabber:iq:register">
    <instructions>Choose a username and a password.</instructions><username/><password/></query></iq>`)
  await juliet.sends(xml`<iq type="set" id="r2" to="${domain}"><query xmlns="jabber:iq:register">
    <username>juliet</username><password>R0m30</password></query></iq>`)
  await juliet.receives(xml`<iq type="result" id="r2" from="${domain}"/>`)
})
