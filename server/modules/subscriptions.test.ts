import { expect } from 'vitest'
import { guard } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { StorageError } from '#storage/storage-error.ts'
import { presence } from './presence.ts'
import type { Contact } from './roster/contact.ts'
import type { SubscriptionStanza } from './subscriptions/states.ts'

const modules = [presence]
const NS = 'jabber:iq:roster'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const sub = (type: SubscriptionStanza, to: string, content = ''): string =>
  xml`<presence type="${type}" to="${to}">${content}</presence>`
const came = (type: SubscriptionStanza, from: string, to: string, content = ''): string =>
  xml`<presence type="${type}" from="${from}" to="${to}">${content}</presence>`
const push = (actor: Actor, item: string): string =>
  xml`<iq type="set" id="${any}" to="${actor.jid}"><query xmlns="${NS}" ver="${any}">${item}</query></iq>`
const delay = (domain: string): string => xml`<delay xmlns="urn:xmpp:delay" from="${domain}" stamp="${any}"/>`

/** Asks for the roster, and so for pushes. */
const fetches = async (actor: Actor): Promise<void> => {
  await actor.sends(xml`<iq type="get" id="fetch"><query xmlns="${NS}"/></iq>`)
  await actor.ignores()
}
/** What the roster says now. */
const items = async (actor: Actor): Promise<readonly Readonly<Record<string, string>>[]> => {
  await actor.ignores()
  await actor.sends(xml`<iq type="get" id="look"><query xmlns="${NS}"/></iq>`)
  return (
    (await actor.next())
      .getChild('query', NS)
      ?.getChildren('item')
      .map((item) => item.attrs) ?? []
  )
}
const kept = ({ driver }: Scene, account: string, contact: string): Promise<Contact | undefined> =>
  driver.documents<Contact>('roster/contacts').get(account, contact)
const keeps = ({ driver }: Scene, account: string, contact: string, what: Contact): Promise<void> =>
  driver.documents<Contact>('roster/contacts').put(account, contact, what)

conversation('RFC 6121 §3.1: Romeo asks, Juliet grants, and he sees that she is there', { modules }, async ({ comesOnline }) => {
  const romeo = await comesOnline(`${ROMEO}/orchard`)
  const juliet = await comesOnline(`${JULIET}/balcony`, '<presence id="now"><show>away</show></presence>')
  await fetches(romeo)
  await fetches(juliet)

  await romeo.sends(xml`<presence type="subscribe" id="s1" to="${JULIET}/balcony"><status>It is I</status></presence>`)
  await romeo.receives(push(romeo, xml`<item jid="${JULIET}" subscription="none" ask="subscribe"/>`))
  // §3.1.2 (TRAPS 8, 16): both addresses are bare, and the rest is as it was.
  await juliet.receives(
    xml`<presence type="subscribe" id="s1" from="${ROMEO}" to="${JULIET}"><status>It is I</status></presence>`,
  )
  await juliet.receivesNothing()

  await juliet.sends(xml`<presence type="subscribed" id="s2" to="${ROMEO}"/>`)
  await juliet.receives(push(juliet, xml`<item jid="${ROMEO}" subscription="from"/>`))
  // §3.1.6 (TRAPS 13): the answer, what it did to the roster, then what it gives to see.
  await romeo.receives(
    xml`<presence type="subscribed" id="s2" from="${JULIET}" to="${ROMEO}"/>`,
    push(romeo, xml`<item jid="${JULIET}" subscription="to"/>`),
    xml`<presence id="now" from="${juliet.jid}" to="${ROMEO}"><show>away</show></presence>`,
  )
  await romeo.receivesNothing()
  await juliet.receivesNothing()
})

conversation(
  'RFC 6121 §3.1.5: all available resources are shown to the new subscriber, and no other',
  { modules },
  async ({ comesOnline, connect }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const balcony = await comesOnline(`${JULIET}/balcony`)
    const chamber = await comesOnline(`${JULIET}/chamber`, '<presence><priority>-1</priority></presence>')
    const cellar = await connect(`${JULIET}/cellar`)
    await romeo.sends(sub('subscribe', JULIET))
    await balcony.ignores()
    await chamber.receives(came('subscribe', ROMEO, JULIET))
    await cellar.receivesNothing()
    await chamber.sends(sub('subscribed', ROMEO))
    await romeo.receives(
      came('subscribed', JULIET, ROMEO),
      xml`<presence from="${balcony.jid}" to="${ROMEO}"/>`,
      xml`<presence from="${chamber.jid}" to="${ROMEO}"><priority>-1</priority></presence>`,
    )
    await romeo.receivesNothing()
  },
)

conversation('RFC 6121 §3.1.4: a request is denied', { modules }, async (scene) => {
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  await fetches(romeo)
  await fetches(juliet)
  await romeo.sends(sub('subscribe', JULIET))
  await romeo.ignores()
  await juliet.ignores()
  await juliet.sends(sub('unsubscribed', ROMEO))
  await romeo.receives(came('unsubscribed', JULIET, ROMEO), push(romeo, xml`<item jid="${JULIET}" subscription="none"/>`))
  await juliet.receivesNothing()
  expect(await kept(scene, JULIET, ROMEO)).toBeUndefined()
})

conversation(
  'RFC 6121 §3.1.3 (TRAPS 16): a request waits for Juliet, once, and comes at each login until it is answered',
  { modules },
  async ({ comesOnline, connect, createAccount, domain }) => {
    await createAccount(JULIET)
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const first = '<status>first</status><nick xmlns="http://jabber.org/protocol/nick">Rö&amp;meo</nick>'
    await romeo.sends(sub('subscribe', JULIET, first))
    await romeo.sends(sub('subscribe', JULIET, '<status>second</status>'))
    await romeo.receivesNothing()

    const request = came('subscribe', ROMEO, JULIET, first + delay(domain))
    for (let login = 0; login < 2; login++) {
      const juliet = await connect(`${JULIET}/balcony`)
      await juliet.sends(xml`<iq type="get" id="fetch"><query xmlns="${NS}"/></iq>`)
      // (TRAPS 15): it is not in the roster.
      await juliet.receives(
        xml`<iq type="result" id="fetch" from="${JULIET}" to="${juliet.jid}"><query xmlns="${NS}" ver="0"/></iq>`,
      )
      await juliet.receivesNothing()
      await juliet.sends('<presence/>')
      await juliet.receives(xml`<presence from="${juliet.jid}" to="${JULIET}"/>`, request)
      await juliet.sends('<presence><show>away</show></presence>')
      await juliet.receives(xml`<presence from="${juliet.jid}" to="${JULIET}"><show>away</show></presence>`)
      await juliet.receivesNothing()
      await juliet.leaves()
    }
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await juliet.sends(sub('subscribed', ROMEO))
    await juliet.leaves()
    await romeo.ignores()
    const back = await connect(`${JULIET}/balcony`)
    await back.sends('<presence/>')
    await back.receives(xml`<presence from="${back.jid}" to="${JULIET}"/>`)
    await back.receivesNothing()
  },
)

conversation(
  'RFC 6121 §3.3.2: a request that is taken back is not delivered later',
  { modules },
  async ({ comesOnline, createAccount }) => {
    await createAccount(JULIET)
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    await romeo.sends(sub('subscribe', JULIET))
    await romeo.sends(sub('unsubscribe', JULIET))
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await juliet.sends(sub('subscribed', ROMEO))
    await romeo.receivesNothing()
  },
)

conversation(
  'RFC 6121 §3.1.3: as many requests wait as may, and a long one without its payload',
  { modules, config: { modules: { subscriptions: { maxRequests: 2 } } } },
  async ({ connect, comesOnline, createAccount, domain }) => {
    await createAccount(JULIET)
    for (const [name, text] of [
      ['romeo', 'x'.repeat(5_000)],
      ['paris', 'P'],
      ['tybalt', 'T'],
    ] as const) {
      const suitor = await comesOnline(`${name}@verona.example/street`)
      await suitor.sends(sub('subscribe', JULIET, `<status>${text}</status>`))
      await suitor.receivesNothing()
    }
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends('<presence/>')
    await juliet.receives(xml`<presence from="${juliet.jid}" to="${JULIET}"/>`)
    await juliet.receivesInAnyOrder(
      came('subscribe', ROMEO, JULIET, delay(domain)),
      came('subscribe', 'paris@verona.example', JULIET, `<status>P</status>${delay(domain)}`),
    )
    await juliet.receivesNothing()
  },
)

conversation(
  'RFC 6121 §3.1.3: whoever is subscribed already is told so, and Juliet is not bothered (TRAPS 15)',
  { modules },
  async (scene) => {
    await scene.createAccount(JULIET)
    await keeps(scene, JULIET, ROMEO, { version: 1, item: { subscription: 'from' } })
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    await fetches(juliet)
    await romeo.sends(sub('subscribe', JULIET))
    await romeo.receives(came('subscribed', JULIET, ROMEO), xml`<presence from="${juliet.jid}" to="${ROMEO}"/>`)
    await juliet.receivesNothing()
    expect(await items(romeo)).toEqual([{ jid: JULIET, subscription: 'to' }])
  },
)

conversation('RFC 6121 §3.4: Juliet approves Romeo before he asks', { modules }, async ({ comesOnline, createAccount }) => {
  await createAccount(ROMEO)
  const juliet = await comesOnline(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(sub('subscribed', ROMEO))
  await juliet.receives(push(juliet, xml`<item jid="${ROMEO}" subscription="none" approved="true"/>`))
  await juliet.sends(sub('subscribed', ROMEO))
  await juliet.receivesNothing()
  const romeo = await comesOnline(`${ROMEO}/orchard`)
  await romeo.sends(sub('subscribe', JULIET))
  await romeo.receives(came('subscribed', JULIET, ROMEO), xml`<presence from="${juliet.jid}" to="${ROMEO}"/>`)
  await juliet.receives(push(juliet, xml`<item jid="${ROMEO}" subscription="from"/>`))
  await juliet.receivesNothing()
})

conversation('RFC 6121 §3.4.3: an approval is taken back unseen', { modules }, async ({ comesOnline }) => {
  const romeo = await comesOnline(`${ROMEO}/orchard`)
  const juliet = await comesOnline(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(sub('subscribed', ROMEO))
  await juliet.ignores()
  await juliet.sends(sub('unsubscribed', ROMEO))
  await juliet.receives(push(juliet, xml`<item jid="${ROMEO}" subscription="none"/>`))
  await romeo.sends(sub('subscribe', JULIET))
  await romeo.receivesNothing()
  await juliet.receives(came('subscribe', ROMEO, JULIET))
})

conversation('RFC 6121 §3.4.1: pre-approval is offered after login', { modules }, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const juliet = await visit()
  const features = await juliet.logsIn('juliet', 'secret')
  expect(features.getChild('sub', 'urn:xmpp:features:pre-approval')).toBeDefined()
})

conversation(
  'RFC 6121 §3.2 (TRAPS 17): Juliet cancels; Romeo sees every resource go, then learns why',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const balcony = await comesOnline(`${JULIET}/balcony`)
    const chamber = await comesOnline(`${JULIET}/chamber`)
    await befriend(romeo, balcony)
    await fetches(romeo)
    await fetches(balcony)
    await chamber.ignores()
    await balcony.sends(sub('unsubscribed', ROMEO))
    await balcony.receives(push(balcony, xml`<item jid="${ROMEO}" subscription="to"/>`))
    await romeo.receives(
      xml`<presence type="unavailable" from="${balcony.jid}" to="${ROMEO}"/>`,
      xml`<presence type="unavailable" from="${chamber.jid}" to="${ROMEO}"/>`,
      came('unsubscribed', JULIET, ROMEO),
      push(romeo, xml`<item jid="${JULIET}" subscription="from"/>`),
    )
    await balcony.sends('<presence><show>dnd</show></presence>')
    await romeo.receivesNothing()
    await romeo.sends('<presence><show>xa</show></presence>')
    await chamber.receives(
      xml`<presence from="${balcony.jid}" to="${JULIET}"><show>dnd</show></presence>`,
      xml`<presence from="${romeo.jid}" to="${JULIET}"><show>xa</show></presence>`,
    )
  },
)

conversation(
  'RFC 6121 §3.3 (TRAPS 17): Romeo unsubscribes; both learn it, and Juliet’s presence is taken back',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    await fetches(romeo)
    await fetches(juliet)
    await romeo.sends(sub('unsubscribe', JULIET))
    await romeo.receives(
      push(romeo, xml`<item jid="${JULIET}" subscription="from"/>`),
      xml`<presence type="unavailable" from="${juliet.jid}" to="${ROMEO}"/>`,
    )
    await juliet.receives(came('unsubscribe', ROMEO, JULIET), push(juliet, xml`<item jid="${ROMEO}" subscription="to"/>`))
    await juliet.sends('<presence><show>dnd</show></presence>')
    await romeo.receivesNothing()
  },
)

conversation(
  'RFC 6121 §2.5.2: whoever is removed from the roster loses both subscriptions',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    await fetches(romeo)
    await fetches(juliet)
    await juliet.sends(xml`<iq type="set" id="r1"><query xmlns="${NS}"><item jid="${ROMEO}" subscription="remove"/></query></iq>`)
    await juliet.receives(
      push(juliet, xml`<item jid="${ROMEO}" subscription="remove"/>`),
      xml`<iq type="result" id="r1" from="${JULIET}" to="${juliet.jid}"/>`,
      xml`<presence type="unavailable" from="${romeo.jid}" to="${JULIET}"/>`,
    )
    await romeo.receives(
      xml`<presence type="unavailable" from="${juliet.jid}" to="${ROMEO}"/>`,
      came('unsubscribe', JULIET, ROMEO),
      push(romeo, xml`<item jid="${JULIET}" subscription="to"/>`),
      came('unsubscribed', JULIET, ROMEO),
      push(romeo, xml`<item jid="${JULIET}" subscription="none"/>`),
    )
    await juliet.receivesNothing()
  },
)

conversation(
  'RFC 6121 §2.5.2: an item whose request is open on either side takes that request with it',
  { modules },
  async (scene) => {
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await romeo.sends(sub('subscribe', JULIET))
    await juliet.sends(sub('subscribe', ROMEO))
    await romeo.ignores()
    await juliet.ignores()
    await juliet.sends(xml`<iq type="set" id="r1"><query xmlns="${NS}"><item jid="${ROMEO}" subscription="remove"/></query></iq>`)
    await romeo.receives(came('unsubscribe', JULIET, ROMEO), came('unsubscribed', JULIET, ROMEO))
    expect(await kept(scene, JULIET, ROMEO)).toEqual({ version: expect.any(Number) })
    expect(await items(romeo)).toEqual([{ jid: JULIET, subscription: 'none' }])
  },
)

conversation('an account that is deleted leaves nobody subscribed to it', { modules }, async (scene) => {
  const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  await scene.befriend(romeo, juliet)
  await scene.server.accounts.delete(juliet.bareJid)
  await romeo.receives(
    xml`<presence type="unavailable" from="${juliet.jid}" to="${ROMEO}"/>`,
    came('unsubscribe', JULIET, ROMEO),
    came('unsubscribed', JULIET, ROMEO),
  )
  expect(await items(romeo)).toEqual([{ jid: JULIET, subscription: 'none' }])
  expect(await scene.driver.documents<Contact>('roster/contacts').list(JULIET)).toEqual([])
})

conversation(
  'RFC 6121 §8.5.1 (TRAPS 5): an account that does not exist says nothing, and nothing is kept for it',
  { modules },
  async (scene) => {
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    await fetches(romeo)
    for (const type of ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'] as const)
      await romeo.sends(sub(type, 'nobody@verona.example'))
    await romeo.receives(
      push(romeo, xml`<item jid="nobody@verona.example" subscription="none" ask="subscribe"/>`),
      push(romeo, xml`<item jid="nobody@verona.example" subscription="none" ask="subscribe" approved="true"/>`),
      push(romeo, xml`<item jid="nobody@verona.example" subscription="none" approved="true"/>`),
      push(romeo, xml`<item jid="nobody@verona.example" subscription="none"/>`),
    )
    await romeo.receivesNothing()
    expect(await scene.driver.documents<Contact>('roster/contacts').list('nobody@verona.example')).toEqual([])
  },
)

conversation(
  'RFC 6120 §10.4: what goes to another domain is refused before the roster changes',
  { modules },
  async ({ comesOnline }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    await fetches(romeo)
    for (const type of ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'] as const) {
      await romeo.sends(xml`<presence type="${type}" id="${type}" to="rosaline@mantua.example"/>`)
      await romeo.receives(
        refusal('remote-server-not-found', { kind: 'presence', id: type, from: 'rosaline@mantua.example', to: romeo.jid }),
      )
    }
    expect(await items(romeo)).toEqual([])
  },
)

conversation('RFC 6121 §4.2.2: nobody has to subscribe to themselves', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline(`${JULIET}/balcony`)
  await fetches(juliet)
  for (const type of ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'] as const)
    for (const to of [JULIET, juliet.jid]) await juliet.sends(sub(type, to))
  await juliet.receivesNothing()
  expect(await items(juliet)).toEqual([])
})

conversation('RFC 6121 §3.1.1: without an address there is nobody to ask', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline(`${JULIET}/balcony`)
  for (const type of ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'] as const) {
    await juliet.sends(xml`<presence type="${type}" id="${type}"/>`)
    await juliet.receives(refusal('bad-request', { kind: 'presence', id: type, from: JULIET, to: juliet.jid }))
  }
})

conversation(
  'RFC 6121 §3.1.6: what was decided while Romeo was away stands in his roster',
  { modules },
  async ({ comesOnline }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await romeo.sends(sub('subscribe', JULIET))
    await romeo.leaves()
    await juliet.sends(sub('subscribed', ROMEO))
    const back = await comesOnline(`${ROMEO}/orchard`)
    expect(await items(back)).toEqual([{ jid: JULIET, subscription: 'to' }])
  },
)

conversation(
  'RFC 6121 §3.1.6, §3.2.3 (TRAPS 12): every interested resource hears of it, available or not',
  { modules },
  async ({ comesOnline, connect }) => {
    const orchard = await comesOnline(`${ROMEO}/orchard`)
    const street = await connect(`${ROMEO}/street`)
    const cell = await connect(`${ROMEO}/cell`)
    await fetches(street)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await orchard.sends(sub('subscribe', JULIET))
    await juliet.sends(sub('subscribed', ROMEO))
    await juliet.sends(sub('unsubscribed', ROMEO))
    await street.receives(
      push(street, xml`<item jid="${JULIET}" subscription="none" ask="subscribe"/>`),
      came('subscribed', JULIET, ROMEO),
      push(street, xml`<item jid="${JULIET}" subscription="to"/>`),
      came('unsubscribed', JULIET, ROMEO),
      push(street, xml`<item jid="${JULIET}" subscription="none"/>`),
    )
    await cell.receivesNothing()
  },
)

conversation(
  'a subscription that cannot be written down is refused, and goes nowhere',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const romeo = await scene.comesOnline(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    scene.driver.failNext(new StorageError('the disk is full', { isTransient: true }))
    await romeo.sends(sub('subscribe', JULIET))
    await romeo.receives(refusal('resource-constraint', { kind: 'presence', from: JULIET, to: romeo.jid }))
    await juliet.receivesNothing()
    expect(await items(romeo)).toEqual([])
  },
)

conversation(
  'RFC 6121 §3 (TRAPS 13): subscribing and unsubscribing in haste ends where the last stanza says, in one order for all',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, settle }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const street = await comesOnline(`${ROMEO}/street`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await romeo.ignores()
    await fetches(romeo)
    await fetches(street)
    await fetches(juliet)
    await juliet.sends(sub('subscribed', ROMEO))
    for (let i = 0; i < 5; i++) {
      await romeo.sendsRaw(sub('subscribe', JULIET))
      await juliet.sendsRaw(`<presence><status>${i}</status></presence>`)
      await romeo.sendsRaw(sub('unsubscribe', JULIET))
      await juliet.sendsRaw(sub('subscribed', ROMEO))
    }
    await settle()
    const pushed = (stanzas: Awaited<ReturnType<Actor['collects']>>): readonly string[] =>
      stanzas.flatMap((each) => JSON.stringify(each.getChild('query', NS)?.getChild('item')?.attrs) ?? [])
    const seen = pushed(await romeo.collects())
    expect(pushed(await street.collects())).toEqual(seen)
    expect(await items(romeo)).toEqual([{ jid: JULIET, subscription: 'none' }])
  },
)

// ---- every state, every stanza, at the edge of the account (RFC 6121 §A.2, §A.3)

/** Keeps the stanzas that are routed to Romeo from reaching him. */
const interception = () => {
  const routed: Stanza[] = []
  const module = defineModule({
    name: 'interception',
    summary: 'Takes what is routed to one account.',
    start: () => ({
      hooks: [
        guard('inbound', ({ stanza, to }) => {
          if (to.bare !== ROMEO) return undefined
          routed.push(stanza)
          return 'drop'
        }),
      ],
    }),
  })
  return { routed, module }
}

const REQUEST = `<presence from='${ROMEO}' to='${JULIET}' type='subscribe'/>`
const STATES: Readonly<Record<string, Contact>> = {
  None: { version: 1, item: { subscription: 'none' } },
  'None+PO': { version: 1, item: { subscription: 'none', ask: true } },
  'None+PI': { version: 1, item: { subscription: 'none' }, request: REQUEST },
  'None+PO+PI': { version: 1, item: { subscription: 'none', ask: true }, request: REQUEST },
  To: { version: 1, item: { subscription: 'to' } },
  'To+PI': { version: 1, item: { subscription: 'to' }, request: REQUEST },
  From: { version: 1, item: { subscription: 'from' } },
  'From+PO': { version: 1, item: { subscription: 'from', ask: true } },
  Both: { version: 1, item: { subscription: 'both' } },
}
const nameOf = (contact: Contact | undefined): string | undefined =>
  Object.keys(STATES).find((name) => {
    const { item, request } = STATES[name] ?? {}
    return (
      item?.subscription === contact?.item?.subscription &&
      item?.ask === contact?.item?.ask &&
      (request === undefined) === (contact?.request === undefined)
    )
  })

/** New states for None, None+PO, None+PI, None+PO+PI, To, To+PI, From, From+PO and Both; in brackets where the stanza stops. */
const OUTBOUND: Readonly<Record<SubscriptionStanza, string>> = {
  subscribe: 'None+PO None+PO None+PO+PI None+PO+PI To To+PI From+PO From+PO Both',
  unsubscribe: 'None None None+PI None+PI None None+PI From From From',
  subscribed: '(None) (None+PO) From From+PO (To) Both (From) (From+PO) (Both)',
  unsubscribed: '(None) (None+PO) None None+PO (To) To None None+PO To',
}
const INBOUND: Readonly<Record<SubscriptionStanza, string>> = {
  subscribe: 'None+PI None+PO+PI (None+PI) (None+PO+PI) To+PI (To+PI) (From) (From+PO) (Both)',
  unsubscribe: '(None) (None+PO) None None+PO (To) To None None+PO To',
  subscribed: '(None) To (None+PI) To+PI (To) (To+PI) (From) Both (Both)',
  unsubscribed: '(None) None (None+PI) None+PI None None+PI (From) From From',
}
const wasPushed = (stanzas: Awaited<ReturnType<Actor['collects']>>): boolean => stanzas.some(({ name }) => name === 'iq')
const changesItem = (before: string, after: string): boolean => before.replace('+PI', '') !== after.replace('+PI', '')

for (const [type, row] of Object.entries(OUTBOUND) as [SubscriptionStanza, string][])
  for (const [i, cell] of row.split(' ').entries()) {
    const before = Object.keys(STATES)[i] ?? ''
    const { routed, module } = interception()
    conversation(
      `RFC 6121 §A.2: ${type} sent in ${before} → ${cell}`,
      { modules: [presence, module], carriers: ['memory'] },
      async (scene) => {
        await scene.createAccount(ROMEO)
        await keeps(scene, JULIET, ROMEO, STATES[before] ?? { version: 1 })
        const juliet = await scene.comesOnline(`${JULIET}/balcony`)
        await fetches(juliet)
        routed.length = 0
        await juliet.sends(sub(type, ROMEO))
        const after = nameOf(await kept(scene, JULIET, ROMEO)) ?? ''
        const types = routed.map((stanza) => stanza.type)
        expect(types.includes(type) ? after : `(${after})`).toBe(cell)
        const isApproval = type === 'subscribed' && ['None', 'None+PO', 'To'].includes(before)
        expect(wasPushed(await juliet.collects())).toBe(changesItem(before, after) || isApproval)
        for (const { from, to } of routed.filter((stanza) => stanza.type === type))
          expect([from?.jid, to?.jid]).toEqual([JULIET, ROMEO])
      },
    )
  }

for (const [type, row] of Object.entries(INBOUND) as [SubscriptionStanza, string][])
  for (const [i, cell] of row.split(' ').entries()) {
    const before = Object.keys(STATES)[i] ?? ''
    conversation(`RFC 6121 §A.3: ${type} received in ${before} → ${cell}`, { modules, carriers: ['memory'] }, async (scene) => {
      await keeps(scene, JULIET, ROMEO, STATES[before] ?? { version: 1 })
      const isAnswer = type === 'subscribed' || type === 'unsubscribed'
      if (isAnswer) await keeps(scene, ROMEO, JULIET, { version: 1, request: REQUEST })
      const juliet = await scene.comesOnline(`${JULIET}/balcony`)
      await fetches(juliet)
      const romeo = await scene.connect(`${ROMEO}/orchard`)
      await fetches(romeo)
      await romeo.sends(sub(type, JULIET))
      const stanzas = await juliet.collects()
      const after = nameOf(await kept(scene, JULIET, ROMEO)) ?? ''
      const isDelivered = stanzas.some((stanza) => stanza.name === 'presence' && stanza.attrs.type === type)
      expect(isDelivered ? after : `(${after})`).toBe(cell)
      expect(wasPushed(stanzas)).toBe(changesItem(before, after))
    })
  }
