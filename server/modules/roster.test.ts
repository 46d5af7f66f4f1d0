import { expect, vi } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import type { BareJid, FullJid } from '#stanzas/jid.ts'
import { DocumentShelf } from '#storage/memory/documents.ts'
import { StorageError } from '#storage/storage-error.ts'
import type { Contact } from './roster/contact.ts'
import { type RosterApi, roster } from './roster.ts'

const modules = [roster]
const NS = 'jabber:iq:roster'
const romeo = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const get = (id: string, ver?: string): string =>
  xml`<iq type="get" id="${id}"><query xmlns="${NS}"${ver === undefined ? '' : ` ver="${ver}"`}/></iq>`
const set = (id: string, items: string): string => xml`<iq type="set" id="${id}"><query xmlns="${NS}">${items}</query></iq>`
const done = (actor: Actor, id: string): string => xml`<iq type="result" id="${id}" from="${actor.bareJid}" to="${actor.jid}"/>`
const result = (actor: Actor, id: string, items: string, ver: string = any): string =>
  xml`<iq type="result" id="${id}" from="${actor.bareJid}" to="${actor.jid}"><query xmlns="${NS}" ver="${ver}">${items}</query></iq>`
const push = (actor: Actor, item: string, ver: string = any): string =>
  xml`<iq type="set" id="${any}" to="${actor.jid}"><query xmlns="${NS}" ver="${ver}">${item}</query></iq>`
const no = (actor: Actor, condition: Parameters<typeof refusal>[0], id: string): string =>
  refusal(condition, { id, from: actor.bareJid, to: actor.jid })

/** Asks for the roster, and so for pushes; gives the version. */
const fetches = async (actor: Actor): Promise<string> => {
  await actor.sends(get('fetch'))
  const query = (await actor.next()).getChild('query', NS)
  return query?.attrs.ver ?? ''
}
const stored = ({ driver }: Scene): Promise<Contact | undefined> =>
  driver.documents<Contact>('roster/contacts').get(JULIET, romeo)

conversation('RFC 6121 §2.1.3: a roster that is empty', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await juliet.sends(get('r1'))
  await juliet.receives(result(juliet, 'r1', '', '0'))
})

conversation(
  'RFC 6121 §2.3.2: an item is added: push, then result, then it is in the roster',
  { modules },
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await fetches(juliet)
    const item = xml`<item jid="${romeo}" name="Romeo &amp; me" subscription="none"><group>Verona</group><group>Löve 🌹</group></item>`
    await juliet.sends(
      set('r2', xml`<item jid="Romeo@verona.example" name="Romeo &amp; me"><group>Verona</group><group>Löve 🌹</group></item>`),
    )
    await juliet.receives(push(juliet, item), done(juliet, 'r2'))
    await juliet.sends(get('r3'))
    await juliet.receives(result(juliet, 'r3', item))
  },
)

conversation('RFC 6121 §2.4: an item gets another name and other groups', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(set('r4', xml`<item jid="${romeo}" name="Romeo"><group>Verona</group></item>`))
  await juliet.ignores()
  await juliet.sends(set('r5', xml`<item jid="${romeo}" name=""><group>Lovers</group></item>`))
  await juliet.receives(
    push(juliet, xml`<item jid="${romeo}" subscription="none"><group>Lovers</group></item>`),
    done(juliet, 'r5'),
  )
})

conversation('RFC 6121 §2.5: an item is removed', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(set('r6', xml`<item jid="${romeo}"/>`))
  await juliet.ignores()
  await juliet.sends(set('r7', xml`<item jid="${romeo}" subscription="remove"/>`))
  await juliet.receives(push(juliet, xml`<item jid="${romeo}" subscription="remove"/>`), done(juliet, 'r7'))
  await juliet.sends(get('r8'))
  await juliet.receives(result(juliet, 'r8', ''))
})

conversation('RFC 6121 §2.5.3: what is not in the roster cannot be removed', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(set('r9', xml`<item jid="${romeo}" subscription="remove"/>`))
  await juliet.receives(no(juliet, 'item-not-found', 'r9'))
  await juliet.receivesNothing()
})

conversation(
  'RFC 6121 §2.1.6, §2.2 (TRAPS 12): every session that asked for the roster gets each push, available or not, and no other',
  { modules },
  async ({ connect }) => {
    const balcony = await connect(`${JULIET}/balcony`)
    const chamber = await connect(`${JULIET}/chamber`)
    const garden = await connect(`${JULIET}/garden`)
    await fetches(balcony)
    await fetches(chamber)
    await balcony.sends(set('r10', xml`<item jid="${romeo}"/>`))
    const item = xml`<item jid="${romeo}" subscription="none"/>`
    await balcony.receives(push(balcony, item), done(balcony, 'r10'))
    await chamber.receives(push(chamber, item))
    await garden.receivesNothing()
    await garden.sends(set('r11', xml`<item jid="${romeo}" name="Romeo"/>`))
    await garden.receives(done(garden, 'r11'))
    await garden.receivesNothing()
  },
)

conversation('RFC 6121 §2.1.6: a client’s answers to pushes cause nothing', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await fetches(juliet)
  await juliet.sends(set('r12', xml`<item jid="${romeo}"/>`))
  const [pushed] = await juliet.collects()
  await juliet.sends(xml`<iq type="result" id="${pushed?.attrs.id}"/>`)
  await juliet.sends(
    xml`<iq type="error" id="${pushed?.attrs.id}"><error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`,
  )
  await juliet.receivesNothing()
})

const refused: readonly (readonly [string, string, Parameters<typeof refusal>[0]])[] = [
  ['§2.3.3: two items', xml`<item jid="${romeo}"/><item jid="nurse@verona.example"/>`, 'bad-request'],
  ['§2.1.5: no item', '', 'bad-request'],
  ['§2.1.2.4: no jid', '<item/>', 'bad-request'],
  ['§2.1.2.4: a jid that is none', '<item jid="@verona.example"/>', 'jid-malformed'],
  ['§2.3.3: one group twice', xml`<item jid="${romeo}"><group>A</group><group>A</group></item>`, 'bad-request'],
  ['§2.3.3: a group without a name', xml`<item jid="${romeo}"><group/></item>`, 'not-acceptable'],
  ['§2.3.3: a group that is too long', xml`<item jid="${romeo}"><group>${'x'.repeat(1025)}</group></item>`, 'not-acceptable'],
  ['§2.3.3: a name that is too long', xml`<item jid="${romeo}" name="${'x'.repeat(1025)}"/>`, 'not-acceptable'],
  [
    '§2.3.3: too many groups',
    xml`<item jid="${romeo}">${Array.from({ length: 101 }, (_, i) => `<group>${i}</group>`).join('')}</item>`,
    'not-acceptable',
  ],
  ['§2.3.3: the account itself', xml`<item jid="${JULIET}"/>`, 'not-allowed'],
]
for (const [title, items, condition] of refused)
  conversation(`RFC 6121 ${title} is refused, and nothing changes`, { modules, carriers: ['memory'] }, async (scene) => {
    const juliet = await scene.connect(`${JULIET}/balcony`)
    await fetches(juliet)
    await juliet.sends(set('r13', items))
    await juliet.receives(no(juliet, condition, 'r13'))
    await juliet.receivesNothing()
    expect(await stored(scene)).toBeUndefined()
  })

conversation('RFC 6121 §2.3.3: another account’s roster is closed', { modules }, async ({ connect, createAccount }) => {
  await createAccount(romeo)
  const juliet = await connect(`${JULIET}/balcony`)
  for (const type of ['get', 'set']) {
    await juliet.sends(
      xml`<iq type="${type}" id="r14" to="${romeo}"><query xmlns="${NS}"><item jid="nurse@verona.example"/></query></iq>`,
    )
    await juliet.receives(refusal('forbidden', { id: 'r14', from: romeo, to: juliet.jid }))
  }
})

conversation(
  'RFC 6121 §2.1.2.5: subscription, ask and approved are not the client’s to say',
  { modules },
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await fetches(juliet)
    await juliet.sends(set('r15', xml`<item jid="${romeo}" subscription="both" ask="subscribe" approved="true"/>`))
    await juliet.receives(push(juliet, xml`<item jid="${romeo}" subscription="none"/>`), done(juliet, 'r15'))
  },
)

conversation(
  'a roster holds as many contacts as it may, and then those can still be changed',
  { modules, config: { modules: { roster: { maxItems: 2 } } } },
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    for (const name of ['romeo', 'nurse']) await juliet.sends(set('r16', xml`<item jid="${name}@verona.example"/>`))
    await juliet.ignores()
    await juliet.sends(set('r17', xml`<item jid="tybalt@verona.example"/>`))
    await juliet.receives(no(juliet, 'resource-constraint', 'r17'))
    await juliet.sends(set('r18', xml`<item jid="${romeo}" name="Romeo"/>`))
    await juliet.receives(done(juliet, 'r18'))
    await juliet.sends(set('r19', xml`<item jid="${romeo}" subscription="remove"/>`))
    await juliet.receives(done(juliet, 'r19'))
    await juliet.sends(set('r20', xml`<item jid="tybalt@verona.example"/>`))
    await juliet.receives(done(juliet, 'r20'))
  },
)

conversation(
  'RFC 6121 §2.3.3: a roster with too much text takes no more, but gives',
  { modules, config: { modules: { roster: { maxText: 1_000 } } } },
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    const item = (groups: readonly string[]) =>
      xml`<item jid="${romeo}">${groups.map((group) => `<group>${group.repeat(240)}</group>`).join('')}</item>`
    await juliet.sends(set('r8', item(['a', 'b', 'c', 'd'])))
    await juliet.receives(done(juliet, 'r8'))
    await juliet.sends(set('r9', item(['a', 'b', 'c', 'd', 'e'])))
    await juliet.receives(no(juliet, 'resource-constraint', 'r9'))
    await juliet.sends(set('r10', xml`<item jid="tybalt@verona.example" name="${'x'.repeat(50)}"/>`))
    await juliet.receives(no(juliet, 'resource-constraint', 'r10'))
    await juliet.sends(set('r11', item(['a'])))
    await juliet.receives(done(juliet, 'r11'))
    await juliet.sends(set('r12', xml`<item jid="tybalt@verona.example" name="${'x'.repeat(50)}"/>`))
    await juliet.receives(done(juliet, 'r12'))
  },
)

conversation('RFC 6121 §2.6.1: versions are offered after login', { modules }, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  const juliet = await visit()
  expect((await juliet.opensStream()).getChild('ver', 'urn:xmpp:features:rosterver')).toBeUndefined()
  const again = await visit()
  const features = await again.logsIn('juliet', 'secret')
  expect(features.getChild('ver', 'urn:xmpp:features:rosterver')).toBeDefined()
})

conversation(
  'RFC 6121 §2.6.2 (TRAPS 14): no ver, an empty one and an unknown one get the whole roster with its version',
  { modules },
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends(set('r21', xml`<item jid="${romeo}"/>`))
    await juliet.ignores()
    const ver = await fetches(juliet)
    expect(ver).toMatch(/^\d+$/)
    for (const [id, known] of [
      ['a', undefined],
      ['b', ''],
      ['c', '0'],
      ['d', 'ver7'],
      ['e', String(Number(ver) + 1)],
      ['f', '-1'],
    ] as const) {
      await juliet.sends(get(id, known))
      await juliet.receives(result(juliet, id, xml`<item jid="${romeo}" subscription="none"/>`, ver))
    }
  },
)

conversation('RFC 6121 §2.6.3: a client that has everything gets an empty result', { modules }, async ({ connect }) => {
  const juliet = await connect(`${JULIET}/balcony`)
  await juliet.sends(get('r22', '0'))
  await juliet.receives(done(juliet, 'r22'))
  await juliet.sends(set('r23', xml`<item jid="${romeo}"/>`))
  await juliet.ignores()
  const ver = await fetches(juliet)
  await juliet.sends(get('r24', ver))
  await juliet.receives(done(juliet, 'r24'))
  await juliet.receivesNothing()
})

conversation(
  'RFC 6121 §2.6.3 (TRAPS 14): an empty result, then as pushes what changed, and nothing else',
  { modules },
  async ({ connect }) => {
    const phone = await connect(`${JULIET}/phone`)
    for (const name of ['romeo', 'nurse', 'tybalt', 'paris'])
      await phone.sends(set('r25', xml`<item jid="${name}@verona.example"/>`))
    await phone.ignores()
    const ver = await fetches(phone)
    await phone.leaves()

    const desk = await connect(`${JULIET}/desk`)
    await fetches(desk)
    await desk.sends(set('r26', xml`<item jid="tybalt@verona.example" subscription="remove"/>`))
    await desk.sends(set('r27', xml`<item jid="${romeo}" name="R"/>`))
    await desk.sends(set('r28', xml`<item jid="mercutio@verona.example"/>`))
    await desk.sends(set('r29', xml`<item jid="${romeo}" name="Romeo"/>`))
    await desk.ignores()
    const newest = await fetches(desk)
    await desk.leaves()

    const back = await connect(`${JULIET}/phone`)
    await back.sends(get('r30', ver))
    const [, , , last] = await back.receives(
      done(back, 'r30'),
      push(back, xml`<item jid="tybalt@verona.example" subscription="remove"/>`),
      push(back, xml`<item jid="mercutio@verona.example" subscription="none"/>`),
      push(back, xml`<item jid="${romeo}" name="Romeo" subscription="none"/>`),
    )
    expect(last?.getChild('query', NS)?.attrs.ver).toBe(newest)
    await back.sends(get('r31', newest))
    await back.receives(done(back, 'r31'))
    await back.receivesNothing()
  },
)

conversation(
  'XEP-0237 §4.3: when too much has changed, or too much was removed to remember, the whole roster comes',
  { modules, carriers: ['memory'] },
  async ({ connect, driver }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends(set('r32', xml`<item jid="${romeo}"/>`))
    await juliet.ignores()
    const ver = await fetches(juliet)
    for (let i = 0; i < 70; i++) {
      await juliet.sendsRaw(set(`a${i}`, xml`<item jid="guest${i}@verona.example"/>`))
      await juliet.sendsRaw(set(`b${i}`, xml`<item jid="guest${i}@verona.example" subscription="remove"/>`))
    }
    await juliet.ignores()
    await juliet.sends(get('r33', ver))
    await juliet.receives(result(juliet, 'r33', xml`<item jid="${romeo}" subscription="none"/>`))
    const kept = await driver.documents<Contact>('roster/contacts').list(JULIET)
    expect(kept.length).toBeLessThan(68)
  },
)

conversation(
  'XEP-0237 §2: versions of an account that is gone mean nothing to its successor',
  { modules, carriers: ['memory'] },
  async ({ connect, server, clock, settle }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    await juliet.sends(set('r34', xml`<item jid="${romeo}"/>`))
    await juliet.ignores()
    const ver = await fetches(juliet)
    await server.accounts.delete(juliet.bareJid)
    await settle()
    clock.advance('1s')
    const second = await connect(`${JULIET}/balcony`)
    await second.sends(get('r35', ver))
    await second.receives(result(second, 'r35', '', '0'))
    await second.sends(set('r36', xml`<item jid="nurse@verona.example"/>`))
    await second.ignores()
    await second.sends(get('r37', ver))
    await second.receives(result(second, 'r37', xml`<item jid="nurse@verona.example" subscription="none"/>`))
  },
)

conversation(
  'RFC 6121 §2.1.6 (TRAPS 13): quick changes from two devices reach both in one order',
  { modules },
  async ({ connect, settle }) => {
    const balcony = await connect(`${JULIET}/balcony`)
    const chamber = await connect(`${JULIET}/chamber`)
    await fetches(balcony)
    await fetches(chamber)
    for (let i = 0; i < 10; i++) {
      await balcony.sendsRaw(wireOf(balcony, set(`x${i}`, xml`<item jid="${romeo}" name="b${i}"/>`)))
      await chamber.sendsRaw(wireOf(chamber, set(`y${i}`, xml`<item jid="${romeo}" name="c${i}"/>`)))
    }
    await settle()
    const seen = await Promise.all(
      [balcony, chamber].map(async (device) =>
        (await device.collects()).flatMap((each) => each.getChild('query', NS)?.getChild('item')?.attrs.name ?? []),
      ),
    )
    expect(seen[0]).toHaveLength(20)
    expect(seen[1]).toEqual(seen[0])
    await balcony.sends(get('r38'))
    await balcony.receives(result(balcony, 'r38', xml`<item jid="${romeo}" name="${seen[0]?.at(-1)}" subscription="none"/>`))
  },
)

/** In a frame a stanza says its own namespace (RFC 7395 §3.3.3). */
const wireOf = (actor: Actor, text: string): string =>
  actor.framing === 'frames' ? text.replace('<iq', "<iq xmlns='jabber:client'") : text

conversation(
  'what the store refuses was never changed, pushed or remembered',
  { modules, carriers: ['memory'] },
  async (scene) => {
    const juliet = await scene.connect(`${JULIET}/balcony`)
    await fetches(juliet)
    scene.driver.failNext(new StorageError('the disk is full', { isTransient: true }))
    await juliet.sends(set('r39', xml`<item jid="${romeo}"/>`))
    await juliet.receives(no(juliet, 'resource-constraint', 'r39'))
    await juliet.sends(get('r40'))
    await juliet.receives(result(juliet, 'r40', '', '0'))
    expect(await stored(scene)).toBeUndefined()
  },
)

conversation('a roster outlives the sessions of its account', { modules }, async (scene) => {
  const juliet = await scene.connect(`${JULIET}/balcony`)
  await juliet.sends(set('r41', xml`<item jid="${romeo}" name="Romeo"/>`))
  await juliet.leaves()
  expect(await stored(scene)).toEqual({ version: expect.any(Number), item: { name: 'Romeo', subscription: 'none' } })
  const back = await scene.connect(`${JULIET}/balcony`)
  await back.sends(get('r42'))
  await back.receives(result(back, 'r42', xml`<item jid="${romeo}" name="Romeo" subscription="none"/>`))
})

conversation(
  'a question about one contact of an account that is away reads that contact alone',
  { modules, carriers: ['memory'] },
  async ({ driver, server }) => {
    const store = driver.documents<Contact>('roster/contacts')
    await store.put(JULIET, romeo, { version: 1, item: { subscription: 'from' } })
    const api = server.apis.get('roster') as RosterApi
    const listed = vi.spyOn(DocumentShelf.prototype, 'keys')
    expect(await api.maySeePresence(romeo as BareJid, JULIET as BareJid)).toBe(true)
    expect(await api.isKnown(JULIET as BareJid, romeo as BareJid)).toBe(true)
    expect(await api.maySeePresence('tybalt@verona.example' as BareJid, JULIET as BareJid)).toBe(false)
    expect(await api.get(JULIET as BareJid, romeo as BareJid)).toEqual({ subscription: 'from' })
    expect(listed).not.toHaveBeenCalled()
    listed.mockRestore()
  },
)

conversation(
  'modules are answered from memory while the account is connected, and of a roster with requests nothing is kept there afterwards',
  { modules, carriers: ['memory'] },
  async ({ connect, driver, server, settle }) => {
    const store = driver.documents<Contact>('roster/contacts')
    const [me, him] = [JULIET as BareJid, romeo as BareJid]
    const [nurse, paris] = ['nurse@verona.example' as BareJid, 'paris@verona.example' as BareJid]
    await store.put(me, him, { version: 1, item: { subscription: 'both' } })
    await store.put(me, nurse, { version: 2, item: { subscription: 'to', name: 'Nurse' } })
    await store.put(me, paris, { version: 0, request: '<presence/>' })
    const api = server.apis.get('roster') as RosterApi

    const juliet = await connect(`${JULIET}/balcony`)
    await settle()
    expect(api.maySeePresence(`${romeo}/orchard` as FullJid, me)).toBe(true)
    expect(api.maySeePresence(nurse, me)).toBe(false)
    expect(api.maySeePresence(paris, me)).toBe(false)
    expect(api.maySeePresence(juliet.jid, me)).toBe(true)
    expect(api.contactsWith(me, 'from')).toEqual([him])
    expect(api.contactsWith(me, 'to')).toEqual([nurse, him])
    expect([api.isKnown(me, nurse), api.isKnown(me, paris)]).toEqual([true, false])
    expect(api.get(me, nurse)).toEqual({ subscription: 'to', name: 'Nurse' })

    const chamber = await connect(`${JULIET}/chamber`)
    await juliet.leaves()
    expect(api.isKnown(me, nurse)).toBe(true)
    await chamber.leaves()
    await settle()
    const later = api.maySeePresence(him, me)
    expect(later).toBeInstanceOf(Promise)
    expect(await later).toBe(true)
    expect(api.maySeePresence(him, me)).toBeInstanceOf(Promise)
    expect(await api.get('nobody@verona.example' as BareJid, him)).toBeUndefined()
  },
)

conversation(
  'a small roster is not read again when its account comes back soon, and changes made meanwhile are in it',
  { modules, carriers: ['memory'] },
  async ({ connect, driver, server, settle, clock }) => {
    const store = driver.documents<Contact>('roster/contacts')
    const [me, him] = [JULIET as BareJid, romeo as BareJid]
    await store.put(me, him, { version: 1, item: { subscription: 'both' } })
    const api = server.apis.get('roster') as RosterApi
    await (await connect(`${JULIET}/balcony`)).leaves()
    await settle()

    const listed = vi.spyOn(DocumentShelf.prototype, 'keys')
    expect(api.maySeePresence(him, me)).toBe(true)
    await api.change(me, him, (now) => ({ next: { ...now, item: { subscription: 'none' } } }))
    expect(api.maySeePresence(him, me)).toBe(false)
    const juliet = await connect(`${JULIET}/chamber`)
    await juliet.sends(get('back'))
    await juliet.receives(result(juliet, 'back', xml`<item jid="${romeo}" subscription="none"/>`))
    expect(listed).not.toHaveBeenCalled()
    await juliet.leaves()
    await settle()

    clock.advance('11m')
    expect(await api.contactsWith(me, 'from')).toEqual([])
    expect(listed).toHaveBeenCalled()
    listed.mockRestore()
  },
)

conversation(
  'a large roster is read again when its account comes back',
  { modules, carriers: ['memory'] },
  async ({ connect, driver, server, settle }) => {
    const store = driver.documents<Contact>('roster/contacts')
    const me = JULIET as BareJid
    for (let n = 0; n < 21; n++) await store.put(me, `c${n}@verona.example`, { version: 1, item: { subscription: 'both' } })
    const api = server.apis.get('roster') as RosterApi
    await (await connect(`${JULIET}/balcony`)).leaves()
    await settle()
    expect(api.contactsWith(me, 'from')).toBeInstanceOf(Promise)
  },
)
