import { expect } from 'vitest'
import { observe } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import { type Actor, conversation, refusal, xml } from '#server/testing/conversation.ts'
import { presence } from './presence.ts'
import type { Contact } from './roster/contact.ts'

const modules = [presence]
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'
const TYBALT = 'tybalt@verona.example'
const SM = 'urn:xmpp:sm:3'

const is = (actor: Actor, to: string, content = ''): string => xml`<presence from="${actor.jid}" to="${to}">${content}</presence>`
const gone = (actor: Actor, to: string, content = ''): string =>
  xml`<presence type="unavailable" from="${actor.jid}" to="${to}">${content}</presence>`

conversation(
  'RFC 6121 §4.2.2: initial presence goes to subscribers and to the own resource, whole, and is answered by those who are there',
  { modules },
  async ({ comesOnline, connect, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`, '<presence id="r"><status xml:lang="it">Eccomi</status></presence>')
    const juliet = await connect(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    const content = xml`<show>away</show><priority>7</priority><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="n" ver="v"/>`
    await juliet.sends(xml`<presence id="p1" xml:lang="en">${content}</presence>`)
    await romeo.receives(xml`<presence id="p1" xml:lang="en" from="${juliet.jid}" to="${ROMEO}">${content}</presence>`)
    await juliet.receives(
      xml`<presence id="p1" xml:lang="en" from="${juliet.jid}" to="${JULIET}">${content}</presence>`,
      xml`<presence id="r" from="${romeo.jid}" to="${juliet.jid}"><status xml:lang="it">Eccomi</status></presence>`,
    )
    await romeo.receivesNothing()
    await juliet.receivesNothing()
  },
)

conversation(
  'RFC 6121 §4.2.2, §4.4.2, §4.5.2: the account’s available resources hear of each other, and only those',
  { modules },
  async ({ comesOnline, connect }) => {
    const balcony = await comesOnline(`${JULIET}/balcony`)
    const cellar = await connect(`${JULIET}/cellar`)
    const chamber = await connect(`${JULIET}/chamber`)
    await chamber.sends('<presence/>')
    await balcony.receives(is(chamber, JULIET))
    await chamber.receives(is(chamber, JULIET), is(balcony, JULIET))
    await balcony.sends('<presence><show>dnd</show></presence>')
    for (const each of [balcony, chamber]) await each.receives(is(balcony, JULIET, '<show>dnd</show>'))
    await chamber.sends('<presence type="unavailable"/>')
    for (const each of [balcony, chamber]) await each.receives(gone(chamber, JULIET))
    await balcony.sends('<presence/>')
    await balcony.receives(is(balcony, JULIET))
    await chamber.receivesNothing()
    await cellar.receivesNothing()
  },
)

for (const [mine, theirs, seesThem, isSeen] of [
  ['both', 'both', true, true],
  ['to', 'from', true, false],
  ['from', 'to', false, true],
  ['none', 'none', false, false],
] as const)
  conversation(
    `RFC 6121 §4.2.2, §4.3.1: with subscription ${mine} Juliet is ${isSeen ? '' : 'not '}seen and ${seesThem ? '' : 'not '}answered`,
    { modules, carriers: ['memory'] },
    async ({ comesOnline, connect, driver }) => {
      const store = driver.documents<Contact>('roster/contacts')
      await store.put(JULIET, ROMEO, { version: 1, item: { subscription: mine } })
      await store.put(ROMEO, JULIET, { version: 1, item: { subscription: theirs } })
      const romeo = await comesOnline(`${ROMEO}/orchard`)
      const juliet = await connect(`${JULIET}/balcony`)
      for (const show of ['', '<show>xa</show>']) {
        await juliet.sends(xml`<presence>${show}</presence>`)
        if (isSeen) await romeo.receives(is(juliet, ROMEO, show))
        await juliet.receives(is(juliet, JULIET, show))
        // §4.4.2: an update asks nobody.
        if (seesThem && show === '') await juliet.receives(is(romeo, juliet.jid))
      }
      await juliet.sends('<presence type="unavailable"/>')
      if (isSeen) await romeo.receives(gone(juliet, ROMEO))
      await juliet.receives(gone(juliet, JULIET))
      await juliet.receivesNothing()
      await romeo.receivesNothing()
    },
  )

conversation(
  'RFC 6121 §4.3.2: rosters that disagree are mended: whoever believes in a subscription that is none is told',
  { modules, carriers: ['memory'] },
  async ({ comesOnline, connect, driver }) => {
    const store = driver.documents<Contact>('roster/contacts')
    await store.put(JULIET, ROMEO, { version: 1, item: { subscription: 'to' } })
    await comesOnline(`${ROMEO}/orchard`)
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends('<presence/>')
    await juliet.receives(is(juliet, JULIET), xml`<presence type="unsubscribed" from="${ROMEO}" to="${JULIET}"/>`)
    expect((await store.get(JULIET, ROMEO))?.item).toEqual({ subscription: 'none' })
  },
)

conversation(
  'RFC 6121 §4.2.2: all resources of a contact answer, and all of them are told',
  { modules },
  async ({ comesOnline, connect, befriend }) => {
    const orchard = await comesOnline(`${ROMEO}/orchard`)
    const street = await comesOnline(`${ROMEO}/street`, '<presence><priority>-5</priority></presence>')
    const cell = await connect(`${ROMEO}/cell`)
    const juliet = await connect(`${JULIET}/balcony`)
    await befriend(orchard, juliet)
    await street.ignores()
    await juliet.sends('<presence/>')
    await juliet.receives(is(juliet, JULIET), is(orchard, juliet.jid), is(street, juliet.jid, '<priority>-5</priority>'))
    for (const each of [orchard, street]) await each.receives(is(juliet, ROMEO))
    await cell.receivesNothing()
  },
)

conversation(
  'RFC 6121 §4.5.2: unavailable presence takes its status along, once; the connection’s end adds nothing',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    await juliet.sends('<presence type="unavailable"><status>Gone to the friar</status></presence>')
    await romeo.receives(gone(juliet, ROMEO, '<status>Gone to the friar</status>'))
    await juliet.sends('<presence type="unavailable"/>')
    await juliet.leaves()
    await romeo.receivesNothing()
  },
)

conversation(
  'RFC 6121 §4.5.2: whoever leaves or loses the connection is unavailable',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    await juliet.leaves()
    await romeo.receives(gone(juliet, ROMEO))
    const again = await comesOnline(`${JULIET}/chamber`)
    await romeo.ignores()
    await again.vanishes()
    await romeo.receives(gone(again, ROMEO))
  },
)

conversation(
  'RFC 6120 §7.7.2.2: a resource that is bound anew is unavailable, then available again',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    const again = await comesOnline(`${JULIET}/balcony`)
    await romeo.receives(gone(juliet, ROMEO), is(again, ROMEO))
  },
)

conversation(
  'XEP-0198 §7 (TRAPS 20): a broken connection is no unavailability until the time to resume is over',
  { modules, config: { streamManagement: { resumeTimeout: '60s' } } },
  async ({ comesOnline, befriend, clock, settle }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const tybalt = await comesOnline(`${TYBALT}/square`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    await juliet.sends(xml`<presence to="${tybalt.jid}"/>`)
    await tybalt.receives(is(juliet, tybalt.jid))
    await juliet.sends(xml`<enable xmlns="${SM}" resume="true"/>`)
    await juliet.vanishes()
    await romeo.receivesNothing()
    clock.advance('59s')
    await romeo.receivesNothing()
    await tybalt.receivesNothing()
    clock.advance('2s')
    await settle()
    await romeo.receives(gone(juliet, ROMEO))
    await tybalt.receives(gone(juliet, tybalt.jid))
  },
)

// ---- directed presence

conversation(
  'RFC 6121 §4.6.3 (TRAPS 19): a stranger who was told by name hears of no change, but of the end',
  { modules },
  async ({ comesOnline }) => {
    const tybalt = await comesOnline(`${TYBALT}/square`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await juliet.sends(xml`<presence id="d1" to="${tybalt.jid}"><status>hm</status></presence>`)
    await tybalt.receives(xml`<presence id="d1" from="${juliet.jid}" to="${tybalt.jid}"><status>hm</status></presence>`)
    await juliet.sends('<presence><show>away</show></presence>')
    await tybalt.receivesNothing()
    await juliet.sends('<presence type="unavailable"><status>bye</status></presence>')
    await tybalt.receives(gone(juliet, tybalt.jid, '<status>bye</status>'))
    await juliet.leaves()
    await tybalt.receivesNothing()
  },
)

for (const [how, leave] of [
  ['leaves', (actor: Actor) => actor.leaves()],
  ['vanishes', (actor: Actor) => actor.vanishes()],
] as const)
  conversation(
    `RFC 6121 §4.6.3 (TRAPS 19): who was told by name hears it when Juliet ${how}, also when she was never available to others`,
    { modules },
    async ({ comesOnline, connect, befriend }) => {
      const tybalt = await comesOnline(`${TYBALT}/square`)
      const romeo = await comesOnline(`${ROMEO}/orchard`)
      const juliet = await connect(`${JULIET}/balcony`)
      await befriend(romeo, juliet)
      for (const to of [tybalt.jid, tybalt.bareJid, romeo.bareJid]) await juliet.sends(xml`<presence to="${to}"/>`)
      await tybalt.receives(is(juliet, tybalt.jid), is(juliet, TYBALT))
      await romeo.receives(is(juliet, ROMEO))
      await leave(juliet)
      await tybalt.receives(gone(juliet, tybalt.jid), gone(juliet, TYBALT))
      await romeo.receives(gone(juliet, ROMEO))
    },
  )

conversation(
  'RFC 6121 §4.6.3: who was told by name that it is over, or hears it as a subscriber, is not told twice',
  { modules },
  async ({ comesOnline, befriend }) => {
    const tybalt = await comesOnline(`${TYBALT}/square`)
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    for (const to of [tybalt.jid, romeo.jid]) await juliet.sends(xml`<presence to="${to}"/>`)
    await juliet.sends(xml`<presence type="unavailable" to="${tybalt.jid}"/>`)
    await tybalt.receives(is(juliet, tybalt.jid), gone(juliet, tybalt.jid))
    await romeo.receives(is(juliet, romeo.jid))
    await juliet.leaves()
    await romeo.receives(gone(juliet, ROMEO))
    await romeo.receivesNothing()
    await tybalt.receivesNothing()
  },
)

conversation(
  'RFC 6121 §8.5.2.1.2, §8.5.3: to a bare JID it reaches every available resource, to a full JID that one, and else nobody',
  { modules },
  async ({ comesOnline, connect }) => {
    const orchard = await comesOnline(`${ROMEO}/orchard`)
    const street = await comesOnline(`${ROMEO}/street`)
    const cell = await connect(`${ROMEO}/cell`)
    await orchard.ignores()
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends(xml`<presence to="${ROMEO}"/>`)
    for (const each of [orchard, street]) await each.receives(is(juliet, ROMEO))
    await juliet.sends(xml`<presence to="${cell.jid}"/>`)
    await cell.receives(is(juliet, cell.jid))
    for (const to of [`${ROMEO}/tomb`, 'nobody@verona.example', 'verona.example']) await juliet.sends(xml`<presence to="${to}"/>`)
    for (const each of [orchard, street, cell, juliet]) await each.receivesNothing()
  },
)

// ---- probes

conversation(
  'RFC 6121 §4.3.2 (TRAPS 18): a probe is answered for every resource, to subscribers',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const balcony = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, balcony)
    const chamber = await comesOnline(`${JULIET}/chamber`, '<presence id="c"><show>away</show></presence>')
    await romeo.ignores()
    await romeo.sends(xml`<presence type="probe" to="${JULIET}"/>`)
    await romeo.receives(
      is(balcony, romeo.jid),
      xml`<presence id="c" from="${chamber.jid}" to="${romeo.jid}"><show>away</show></presence>`,
    )
    await romeo.sends(xml`<presence type="probe" to="${balcony.jid}"/>`)
    await romeo.receives(is(balcony, romeo.jid))
    await romeo.sends(xml`<presence type="probe" to="${JULIET}/cellar"/>`)
    await romeo.receives(xml`<presence type="unavailable" from="${JULIET}/cellar" to="${romeo.jid}"/>`)
    await balcony.leaves()
    await chamber.leaves()
    await romeo.ignores()
    await romeo.sends(xml`<presence type="probe" to="${JULIET}"/>`)
    await romeo.receives(xml`<presence type="unavailable" from="${JULIET}" to="${romeo.jid}"/>`)
  },
)

conversation(
  'RFC 6121 §4.3.2 (TRAPS 18, 5): a stranger learns as little as of an account that does not exist, and Juliet hears nothing',
  { modules },
  async ({ comesOnline, driver }) => {
    const tybalt = await comesOnline(`${TYBALT}/square`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    const store = driver.documents<Contact>('roster/contacts')
    for (const contact of [JULIET, 'nobody@verona.example']) {
      await store.put(TYBALT, contact, { version: 1, item: { subscription: 'to' } })
    }
    await tybalt.leaves()
    const back = await comesOnline(`${TYBALT}/square`)
    for (const to of ['nobody@verona.example', JULIET, juliet.jid]) {
      await back.sends(xml`<presence type="probe" to="${to}"/>`)
      const [bare] = to.split('/')
      const left = await back.collects()
      expect(left.every(({ attrs }) => attrs.type === 'unsubscribed' && attrs.from === bare)).toBe(true)
    }
    await juliet.receivesNothing()
  },
)

conversation('RFC 6121 §4.3.2: the own account may be probed', { modules }, async ({ comesOnline, connect }) => {
  const balcony = await comesOnline(`${JULIET}/balcony`)
  const cellar = await connect(`${JULIET}/cellar`)
  await cellar.sends(xml`<presence type="probe" to="${JULIET}"/>`)
  await cellar.receives(is(balcony, cellar.jid))
})

conversation(
  'RFC 6121 §4.6.5: whoever was told by name may ask whether it still holds, and is told no more than that',
  { modules },
  async ({ comesOnline }) => {
    const tybalt = await comesOnline(`${TYBALT}/square`)
    const juliet = await comesOnline(`${JULIET}/balcony`, '<presence><status>secret</status></presence>')
    await juliet.sends(xml`<presence to="${tybalt.jid}"/>`)
    await tybalt.ignores()
    await tybalt.sends(xml`<presence type="probe" to="${juliet.jid}"/>`)
    await tybalt.receives(is(juliet, tybalt.jid))
    await juliet.sends(xml`<presence type="unavailable" to="${tybalt.jid}"/>`)
    await tybalt.ignores()
    await tybalt.sends(xml`<presence type="probe" to="${juliet.jid}"/>`)
    await tybalt.receivesNothing()
  },
)

// ---- syntax and errors

for (const priority of ['128', '-129', 'high', '', '1.5', '1000'])
  conversation(
    `RFC 6121 §4.7.2.3: the priority "${priority}" is refused, and what was said before holds`,
    { modules, carriers: ['memory'] },
    async ({ comesOnline, server }) => {
      const juliet = await comesOnline(`${JULIET}/balcony`, '<presence><priority>5</priority></presence>')
      await juliet.sends(xml`<presence id="p1"><priority>${priority}</priority></presence>`)
      await juliet.receives(refusal('bad-request', { kind: 'presence', id: 'p1', from: JULIET, to: juliet.jid }))
      expect(server.sessions.of(juliet.bareJid)[0]?.priority).toBe(5)
    },
  )

for (const [text, priority] of [
  ['<priority>127</priority>', 127],
  ['<priority>-128</priority>', -128],
  ['<priority> +1 </priority>', 1],
  ['', 0],
] as const)
  conversation(
    `RFC 6121 §4.7.2.3: ${text === '' ? 'no priority' : text} is ${priority}`,
    { modules, carriers: ['memory'] },
    async ({ comesOnline, server }) => {
      const juliet = await comesOnline(`${JULIET}/balcony`, xml`<presence>${text}</presence>`)
      const session = server.sessions.of(juliet.bareJid)[0]
      expect([session?.isAvailable, session?.priority]).toEqual([true, priority])
      await juliet.sends('<presence type="unavailable"/>')
      expect([session?.isAvailable, session?.priority]).toEqual([false, 0])
    },
  )

conversation('RFC 6121 §4.7.1: a type that is none is refused', { modules }, async ({ comesOnline }) => {
  const juliet = await comesOnline(`${JULIET}/balcony`)
  for (const [type, to] of [
    ['away', ''],
    ['invisible', ` to="${ROMEO}"`],
    ['probe', ''],
  ] as const) {
    await juliet.sends(xml`<presence id="p1" type="${type}"${to}/>`)
    await juliet.receives(
      refusal('bad-request', { kind: 'presence', id: 'p1', from: to === '' ? JULIET : ROMEO, to: juliet.jid }),
    )
  }
  // RFC 6120 §8.3.1: an error is never answered.
  await juliet.sends('<presence id="p1" type="error"/>')
  await juliet.receivesNothing()
})

conversation(
  'RFC 6120 §10.4: directed presence to another domain is refused, and not remembered',
  { modules },
  async ({ comesOnline }) => {
    const juliet = await comesOnline(`${JULIET}/balcony`)
    for (const type of ['', ' type="unavailable"', ' type="probe"']) {
      await juliet.sends(xml`<presence id="p1"${type} to="room@muc.example/Juliet"/>`)
      await juliet.receives(
        refusal('remote-server-not-found', { kind: 'presence', id: 'p1', from: 'room@muc.example/Juliet', to: juliet.jid }),
      )
    }
  },
)

conversation(
  'RFC 6121 §4.4.2: a contact that answers with an error is told no more until it sends something else',
  { modules },
  async ({ comesOnline, befriend }) => {
    const romeo = await comesOnline(`${ROMEO}/orchard`)
    const juliet = await comesOnline(`${JULIET}/balcony`)
    await befriend(romeo, juliet)
    const error = xml`<error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>`
    await romeo.sends(xml`<presence type="error" to="${juliet.jid}">${error}</presence>`)
    await juliet.receives(xml`<presence type="error" from="${romeo.jid}" to="${juliet.jid}">${error}</presence>`)
    await juliet.sends('<presence><show>away</show></presence>')
    await romeo.receivesNothing()
    await romeo.sends('<presence/>')
    await romeo.ignores()
    await juliet.sends('<presence><show>chat</show></presence>')
    await romeo.receives(is(juliet, ROMEO, '<show>chat</show>'))
  },
)

// ---- what other modules hear

const diary = (): { readonly entries: string[]; readonly module: ReturnType<typeof defineModule> } => {
  const entries: string[] = []
  const module = defineModule({
    name: 'diary',
    summary: 'Writes down when sessions come and go.',
    needs: { presence },
    start: () => ({
      hooks: [
        observe('session-available', ({ session }) => {
          entries.push(`${session.resource} available at ${session.priority}`)
        }),
        observe('session-unavailable', ({ session, status }) => {
          entries.push(`${session.resource} unavailable: ${status}`)
        }),
      ],
    }),
  })
  return { entries, module }
}

{
  const { entries, module } = diary()
  conversation(
    'modules hear when a session becomes available and when it does not stay so, once each',
    { modules: [module], carriers: ['memory'] },
    async ({ connect }) => {
      const juliet = await connect(`${JULIET}/balcony`)
      expect(entries).toEqual([])
      await juliet.sends('<presence><priority>3</priority></presence>')
      await juliet.sends('<presence><show>away</show></presence>')
      expect(entries).toEqual(['balcony available at 3'])
      await juliet.sends('<presence type="unavailable"><status>bye</status></presence>')
      await juliet.sends('<presence type="unavailable"/>')
      await juliet.sends('<presence/>')
      await juliet.leaves()
      const chamber = await connect(`${JULIET}/chamber`)
      await chamber.leaves()
      expect(entries).toEqual([
        'balcony available at 3',
        'balcony unavailable: bye',
        'balcony available at 0',
        'balcony unavailable: ',
      ])
    },
  )
}

conversation('RFC 6120 §13.12: presence that is too large is not multiplied', { modules }, async ({ connect, comesOnline }) => {
  const romeo = await comesOnline(`${ROMEO}/orchard`)
  const juliet = await connect(`${JULIET}/balcony`)
  const status = `<status>${'x'.repeat(16_384)}</status>`
  const refused = (from: string, id: string) =>
    refusal('policy-violation', { id, from, to: juliet.jid })
      .replace('<iq', '<presence')
      .replace('</iq>', '</presence>')
      .replace('</error>', '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">presence may have 16384 bytes</text></error>')
  await juliet.sends(xml`<presence id="p1">${status}</presence>`)
  await juliet.receives(refused(JULIET, 'p1'))
  await juliet.sends(xml`<presence id="p2" to="${romeo.jid}">${status}</presence>`)
  await juliet.receives(refused(romeo.jid, 'p2'))
  await romeo.receivesNothing()
})
