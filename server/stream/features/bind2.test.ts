import { expect } from 'vitest'
import { atBind2, defineModule } from '#server/core/module.ts'
import { carbons } from '#server/modules/carbons.ts'
import { csi } from '#server/modules/csi.ts'
import { presence } from '#server/modules/presence.ts'
import { any, conversation, xml } from '#server/testing/conversation.ts'
import {
  accountOf,
  byPassword,
  LAPTOP,
  logsInQuickly,
  NS_BIND2,
  NS_SASL2,
  PHONE,
  wantsBinding,
} from '#server/testing/quick-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'
import { el } from '#stanzas/element.ts'

const JULIET = 'juliet@verona.example'
const NS_SM = 'urn:xmpp:sm:3'
const memory = { carriers: ['memory'] } as const

const success = (identity: string, ...inside: readonly string[]): string =>
  xml`<success xmlns='${NS_SASL2}'><authorization-identifier>${identity}</authorization-identifier>${inside.join('')}</success>`
const bound = (inside = ''): string => `<bound xmlns='${NS_BIND2}'>${inside}</bound>`
const ping = `<iq type='get' id='p' to='verona.example'><ping xmlns='urn:xmpp:ping'/></iq>`

conversation('XEP-0386 §3.1: what may be asked for while binding', { modules: [carbons, csi] }, async ({ visit }) => {
  const actor = await visit()
  const features = await actor.opensStream()
  const bind = features.getChild('authentication', NS_SASL2)?.getChild('inline')?.getChild('bind', NS_BIND2)
  const names = bind
    ?.getChild('inline')
    ?.getChildren('feature')
    .map(({ attrs }) => attrs.var)
  expect(names).toEqual(['urn:xmpp:carbons:2', 'urn:xmpp:csi:0', NS_SM])
})

conversation('XEP-0386 §3.2: a resource is bound with the login', {}, async ({ visit, createAccount, server }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet', wantsBinding()))
  await actor.receives(success(any, bound()))
  const features = await actor.next()
  expect(features.getChildren().map(({ name }) => name)).toContain('sm')
  expect(features.getChild('bind', 'urn:ietf:params:xml:ns:xmpp-bind')).toBeUndefined()
  const [session] = server.sessions.of(accountOf(JULIET))
  expect(session?.resource).toMatch(/^Balcony\/[\w-]{16}$/)
  await actor.sends(ping)
  await actor.receives(`<iq type='result' id='p' from='verona.example' to='${session?.jid}'/>`)
})

conversation(
  'XEP-0386 §3.2.1: a client gets the same resource each time, which does not tell its id, nor is it that of another client or account',
  memory,
  async ({ visit, createAccount }) => {
    const resourceOf = async (localpart: string, clientId: string | undefined, tag?: string): Promise<string> => {
      await createAccount(`${localpart}@verona.example`)
      const actor = await visit()
      await logsInQuickly(actor, byPassword(localpart, wantsBinding('', tag), clientId))
      return actor.jid.slice(actor.jid.indexOf('/') + 1)
    }
    const first = await resourceOf('juliet', PHONE)
    expect(await resourceOf('juliet', PHONE.toUpperCase())).toBe(first)
    expect(first).not.toContain(PHONE.slice(0, 8))
    const own = await resourceOf('juliet', PHONE, '')
    expect(first).toBe(`Balcony/${own}`)
    const others = [await resourceOf('juliet', LAPTOP), await resourceOf('romeo', PHONE), await resourceOf('juliet', undefined)]
    expect(new Set([first, ...others]).size).toBe(4)
  },
)

conversation('XEP-0386 §3.2.1: a tag that no resource can begin with is left out', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  for (const tag of ['x'.repeat(1020), '&#x200e;tag', '&#9;']) {
    const actor = await visit()
    await logsInQuickly(actor, byPassword('juliet', wantsBinding('', tag), PHONE))
    expect(actor.jid).toMatch(/^juliet@verona\.example\/[\w-]{16}$/)
  }
})

conversation(
  'XEP-0386 §3.2: earlier sessions of the same client are ended, those of others are not',
  {},
  async ({ visit, createAccount, server }) => {
    await createAccount(JULIET)
    const [old, laptop, nameless, phone] = [await visit(), await visit(), await visit(), await visit()]
    await logsInQuickly(old, byPassword('juliet', wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`, 'Old'), PHONE))
    await logsInQuickly(laptop, byPassword('juliet', wantsBinding(), LAPTOP))
    await logsInQuickly(nameless, byPassword('juliet', wantsBinding()))
    await old.ignores()
    await logsInQuickly(phone, byPassword('juliet', wantsBinding('', 'New'), PHONE))
    await failsWith(old, 'conflict')
    expect(server.sessions.of(accountOf(JULIET)).map(({ jid }) => jid)).toEqual([laptop.jid, nameless.jid, phone.jid])
  },
)

conversation(
  'XEP-0386 §3.2.1, XEP-0280: carbons are on from the first moment, and the session begins inactive',
  { modules: [carbons, csi, presence] },
  async ({ visit, connect, createAccount }) => {
    await createAccount(JULIET)
    const phone = await visit()
    const wants = `<enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/>`
    await logsInQuickly(phone, byPassword('juliet', wantsBinding(wants), PHONE))
    await phone.ignores()
    const laptop = await connect(`${JULIET}/laptop`)
    const romeo = await connect('romeo@verona.example/orchard')
    await romeo.sends(
      `<message type='chat' to='${phone.jid}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    )
    await phone.receivesNothing()
    await laptop.sends(`<message type='chat' id='m' to='romeo@verona.example'><body>Art thou not Romeo?</body></message>`)
    await phone.sends(`<active xmlns='urn:xmpp:csi:0'/>`)
    const heard = await phone.collects()
    expect(heard.map(({ children }) => children.map((child) => (typeof child === 'string' ? child : child.name)))).toEqual([
      ['composing'],
      ['sent'],
    ])
  },
)

conversation('XEP-0198 §9.1: acknowledgements begin with the binding', {}, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  // Asked for twice, enabled once.
  await actor.sends(byPassword('juliet', wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/><enable xmlns='${NS_SM}'/>`)))
  await actor.receives(success(any, bound(`<enabled xmlns='${NS_SM}' id='${any}' resume='true' max='300'/>`)))
  const features = await actor.next()
  expect(features.getChild('sm', NS_SM)).toBeUndefined()
  await actor.sends(`<presence/><r xmlns='${NS_SM}'/>`)
  await actor.receives(`<a xmlns='${NS_SM}' h='1'/>`)
})

conversation(
  'XEP-0198 §9.2: a session is resumed with the login, and there are no features',
  {},
  async ({ visit, connect, createAccount }) => {
    await createAccount(JULIET)
    const romeo = await connect('romeo@verona.example/orchard')
    const lost = await visit()
    const first = await logsInQuickly(lost, byPassword('juliet', wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`), PHONE))
    const id = first.getChild('bound', NS_BIND2)?.getChild('enabled', NS_SM)?.attrs.id
    await lost.ignores()
    await lost.sends('<presence/>')
    await lost.ignores()
    await lost.vanishes()
    await romeo.sends(`<iq type='get' id='q' to='${lost.jid}'><query xmlns='urn:example:q'/></iq>`)

    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet', `<resume xmlns='${NS_SM}' previd='${id}' h='0'/>${wantsBinding()}`, PHONE))
    await actor.receives(success(lost.jid, `<resumed xmlns='${NS_SM}' previd='${id}' h='1'/>`))
    await actor.receives(
      `<iq type='get' id='q' from='romeo@verona.example/orchard' to='${lost.jid}'><query xmlns='urn:example:q'/></iq>`,
      `<r xmlns='${NS_SM}'/>`,
    )
    await actor.receivesNothing()
  },
)

conversation(
  'XEP-0198 §9.2.1: what cannot be resumed is said, and a resource is bound all the same',
  {},
  async ({ visit, createAccount }) => {
    await createAccount(JULIET)
    for (const resume of [`previd='gone' h='0'`, `previd='gone'`]) {
      const actor = await visit()
      await actor.opensStream()
      await actor.sends(byPassword('juliet', `<resume xmlns='${NS_SM}' ${resume}/>${wantsBinding()}`, PHONE))
      const condition = resume.includes('h=') ? 'item-not-found' : 'unexpected-request'
      const failed = `<failed xmlns='${NS_SM}'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`
      await actor.receives(success(any, failed, bound()))
      expect((await actor.next()).name).toBe('features')
    }
  },
)

conversation(
  'XEP-0198 §9.2.1: the session of another account is not found',
  { ...memory, nodes: 1 },
  async ({ visit, createAccount, server }) => {
    await createAccount(JULIET)
    await createAccount('romeo@verona.example')
    const romeo = await visit()
    const his = await logsInQuickly(romeo, byPassword('romeo', wantsBinding(`<enable xmlns='${NS_SM}' resume='true'/>`)))
    const id = his.getChild('bound', NS_BIND2)?.getChild('enabled', NS_SM)?.attrs.id
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet', `<resume xmlns='${NS_SM}' previd='${id}' h='0'/>`))
    const failed = `<failed xmlns='${NS_SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`
    await actor.receives(success(JULIET, failed))
    // Without <bind/>, RFC 6120 goes on.
    expect((await actor.next()).getChild('bind', 'urn:ietf:params:xml:ns:xmpp-bind')).toBeDefined()
    await actor.binds('balcony')
    expect(server.sessions.count).toBe(2)
  },
)

conversation('XEP-0386 §3.2: unknown features are passed over', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const actor = await visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet', wantsBinding(`<enable xmlns='urn:example:x'/><carrots xmlns='urn:xmpp:carbons:2'/>`)))
  await actor.receives(success(any, bound()))
})

conversation(
  'RFC 6120 §7.6.2.1: an account with too many sessions gets no other',
  { ...memory, config: { limits: { sessionsPerAccount: 1 } } },
  async ({ visit, connect }) => {
    await connect(`${JULIET}/balcony`)
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet', wantsBinding()))
    await failsWith(actor, 'resource-constraint')
  },
)

const [begun, found] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]

/** Tells what it has to look up, and takes its time. */
const slow = defineModule({
  name: 'slow',
  summary: 'Takes its time.',
  start: () => ({
    bind2: [
      atBind2(async ({ jid }) => {
        begun.resolve(jid)
        return el('urn:example:slow', 'found', {}, await found.promise)
      }),
      atBind2(() => Promise.reject(new Error('this is not told'))),
    ],
  }),
})

conversation(
  'XEP-0386 §3.2: what the server looks up about the moment of binding comes before whatever comes after that moment',
  { ...memory, modules: [slow] },
  async ({ visit, connect, createAccount }) => {
    await createAccount(JULIET)
    const romeo = await connect('romeo@verona.example/orchard')
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet', wantsBinding(`<enable xmlns='${NS_SM}'/>`)) + ping)
    const jid = await begun.promise
    await romeo.sends(`<iq type='get' id='q' to='${jid}'><query xmlns='urn:example:q'/></iq>`)
    await actor.receivesNothing()
    found.resolve('at last')
    await actor.receives(success(any, bound(`<found xmlns='urn:example:slow'>at last</found><enabled xmlns='${NS_SM}'/>`)))
    expect((await actor.next()).name).toBe('features')
    await actor.receives(
      `<iq type='get' id='q' from='romeo@verona.example/orchard' to='${jid}'><query xmlns='urn:example:q'/></iq>`,
      `<r xmlns='${NS_SM}'/>`,
      `<iq type='result' id='p' from='verona.example' to='${jid}'/>`,
    )
  },
)

const stuckAt = Promise.withResolvers<string>()

/** Has to look something up, and never finds it. */
const stuck = defineModule({
  name: 'stuck',
  summary: 'Never finds what it has to look up.',
  start: () => ({
    bind2: [
      atBind2(({ jid }) => {
        stuckAt.resolve(jid)
        return new Promise(() => undefined)
      }),
    ],
  }),
})

conversation(
  'DESIGN P5: what comes while something is looked up is no more than may wait for any client',
  { ...memory, modules: [stuck], config: { limits: { sendQueueBytes: '64 KiB' } } },
  async ({ visit, connect, createAccount }) => {
    await createAccount(JULIET)
    const romeo = await connect('romeo@verona.example/orchard')
    const actor = await visit()
    await actor.opensStream()
    await actor.sends(byPassword('juliet', wantsBinding()))
    const jid = await stuckAt.promise
    for (let i = 0; i < 4; i++)
      await romeo.sends(`<iq type='get' id='q${i}' to='${jid}'><query xmlns='urn:example:q'>${'x'.repeat(100_000)}</query></iq>`)
    await failsWith(actor, 'policy-violation')
  },
)
