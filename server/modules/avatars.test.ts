import { expect } from 'vitest'
import { hexDigest } from '#server/base/digest.ts'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import {
  asks,
  capsFor,
  eventOf,
  featuresOf,
  itemsOf,
  listens,
  outcome,
  publishes,
  publishOptions,
  retracts,
  toldOf,
} from '#server/testing/pep-stanzas.ts'
import type { Element } from '#stanzas/element.ts'
import { avatars } from './avatars.ts'
import { presence } from './presence.ts'
import { registration } from './registration.ts'

const modules = [presence, avatars]
const memory = { modules, carriers: ['memory'] } as const
const DATA = 'urn:xmpp:avatar:data'
const METADATA = 'urn:xmpp:avatar:metadata'
const UPDATE = 'vcard-temp:x:update'
const JULIET = 'juliet@verona.example'
const OPEN = publishOptions({ access_model: 'open' })
const FOR_CONTACTS = publishOptions({ access_model: 'presence' })

interface Picture {
  readonly base64: string
  readonly hash: string
  readonly size: number
  readonly type: string
}
const picture = (hex: string, type: string): Picture => {
  const bytes = Buffer.from(hex, 'hex')
  return { base64: bytes.toString('base64'), hash: hexDigest('sha1', bytes), size: bytes.length, type }
}
const PNG = picture('89504e470d0a1a0a0001', 'image/png')
const JPEG = picture('ffd8ffe000', 'image/jpeg')
const metadata = ({ hash, size, type }: Picture) =>
  `<metadata xmlns="${METADATA}"><info bytes="${size}" id="${hash}" type="${type}"/></metadata>`
const data = ({ base64 }: Picture) => `<data xmlns="${DATA}">${base64}</data>`

/** XEP-0084 §3.1, §3.2 */
const publishesPicture = async (actor: Actor, of: Picture, options = OPEN): Promise<void> => {
  expect(await outcome(actor, publishes(DATA, of.hash, data(of), options))).toBe('result')
  expect(await outcome(actor, publishes(METADATA, of.hash, metadata(of), options))).toBe('result')
}
const photo = ({ base64, type }: Picture) => `<PHOTO><TYPE>${type}</TYPE><BINVAL>${base64}</BINVAL></PHOTO>`
const setsCard = (inner: string) => xml`<iq type="set" id="v1"><vCard xmlns="vcard-temp">${inner}</vCard></iq>`
const reads = (to: string) => xml`<iq type="get" id="v2" to="${to}"><vCard xmlns="vcard-temp"/></iq>`
const photoIn = (answer: Element) => {
  const found = answer.getChild('vCard', 'vcard-temp')?.getChild('PHOTO')
  return found && { type: found.getChildText('TYPE'), base64: found.getChildText('BINVAL') }
}
const photoSeenBy = async (actor: Actor, of = JULIET) => photoIn(await asks(actor, reads(of)))
const shown = ({ base64, type }: Picture) => ({ base64, type })

const update = (hash?: string) => `<x xmlns="${UPDATE}"><photo>${hash ?? ''}</photo></x>`
const present = (actor: Actor, to: Actor, inner: string) =>
  xml`<presence from="${actor.jid}" to="${to.bareJid}">${inner}</presence>`

const couple = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await listens(scene, 'romeo@verona.example/orchard', METADATA)
  await scene.befriend(juliet, romeo)
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  return { juliet, romeo, tybalt }
}

conversation('XEP-0398 §2: an account says that its picture is converted', { modules }, async (scene) => {
  const { juliet } = await couple(scene)
  expect(await featuresOf(juliet)).toContain('urn:xmpp:pep-vcard-conversion:0')
})

conversation('XEP-0398 §3.1: a published picture is in the card, though there was none', { modules }, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  await publishesPicture(juliet, PNG)
  for (const actor of [juliet, romeo, tybalt]) expect(await photoSeenBy(actor)).toEqual(shown(PNG))
  expect(await outcome(juliet, setsCard(`<FN>Juliet</FN>${photo(PNG)}`))).toBe('result')
  await publishesPicture(juliet, JPEG)
  const card = (await asks(tybalt, reads(JULIET))).getChild('vCard', 'vcard-temp')
  expect(card?.getChildText('FN')).toBe('Juliet')
  expect(card?.getChildren().map(({ name }) => name)).toEqual(['FN', 'PHOTO'])
  expect(await photoSeenBy(tybalt)).toEqual(shown(JPEG))
})

conversation('XEP-0398 §3.1: of several infos, the one that is not elsewhere', { modules }, async (scene) => {
  const { juliet, tybalt } = await couple(scene)
  const both = `<metadata xmlns="${METADATA}"><info bytes="1" id="${JPEG.hash}" type="image/jpeg" url="https://verona.example/j.jpeg"/><info bytes="${PNG.size}" id="${PNG.hash}" type="${PNG.type}"/></metadata>`
  expect(await outcome(juliet, publishes(DATA, PNG.hash, data(PNG), OPEN))).toBe('result')
  expect(await outcome(juliet, publishes(METADATA, PNG.hash, both, OPEN))).toBe('result')
  expect(await photoSeenBy(tybalt)).toEqual(shown(PNG))
  // One that is only elsewhere cannot be in a card.
  const elsewhere = `<metadata xmlns="${METADATA}"><info bytes="1" id="${JPEG.hash}" type="image/jpeg" url="https://verona.example/j.jpeg"/></metadata>`
  expect(await outcome(juliet, publishes(METADATA, JPEG.hash, elsewhere, OPEN))).toBe('result')
  await tybalt.ignores()
  await tybalt.sends(reads(JULIET))
  await tybalt.receives(refusal('service-unavailable', { id: 'v2', from: JULIET, to: tybalt.jid }))
})

conversation(
  'XEP-0398 §3.2: a picture in a card is published, data first, for everybody as cards are, and is not kept twice',
  { modules },
  async (scene) => {
    const { juliet, romeo, tybalt } = await couple(scene)
    await juliet.sends(setsCard(`<FN>Juliet</FN>${photo(JPEG).replace('</BINVAL>', '\n</BINVAL>')}`))
    await juliet.receivesInAnyOrder(
      xml`<iq type="result" id="v1" from="${JULIET}" to="${juliet.jid}"/>`,
      present(juliet, juliet, update(JPEG.hash)),
    )
    await romeo.receivesInAnyOrder(
      eventOf(METADATA, JPEG.hash, metadata(JPEG), romeo, JULIET),
      present(juliet, romeo, update(JPEG.hash)),
    )
    const [item] = await itemsOf(tybalt, DATA, JULIET)
    expect([item?.[0], item?.[1]?.text()]).toEqual([JPEG.hash, JPEG.base64])
    expect(await photoSeenBy(tybalt)).toEqual(shown(JPEG))
    expect(JSON.stringify(await scene.driver.documents('vcard/cards').list(JULIET))).not.toContain(JPEG.base64)

    // The same card again is no news.
    expect(await outcome(juliet, setsCard(`<FN>Juliet</FN>${photo(JPEG)}`))).toBe('result')
    await romeo.receivesNothing()
    // And a card without a picture takes it away (XEP-0084 §3.5).
    expect(await outcome(juliet, setsCard('<FN>Juliet</FN>'))).toBe('result')
    const told = await romeo.collects()
    expect(told.map(({ name }) => name).toSorted()).toEqual(['message', 'presence'])
    expect(
      told
        .find(({ name }) => name === 'presence')
        ?.getChild('x', UPDATE)
        ?.getChildText('photo'),
    ).toBe('')
    expect(await photoSeenBy(tybalt)).toBeUndefined()
    expect((await itemsOf(tybalt, METADATA, JULIET)).map(([, payload]) => payload?.children)).toEqual([[]])
  },
)

conversation('XEP-0153 §5: the type of a picture is what its bytes say', { modules }, async (scene) => {
  const { juliet, tybalt } = await couple(scene)
  for (const [hex, type] of [
    ['89504e470d0a1a0a00', 'image/png'],
    ['ffd8ff00', 'image/jpeg'],
    ['474946383961', 'image/gif'],
    ['524946460000000057454250', 'image/webp'],
    ['000000206674797061766966', 'image/avif'],
    ['3c7376672f3e', 'image/svg+xml'],
  ] as const) {
    const of = picture(hex, type)
    const claimed = type === 'image/svg+xml' ? type : 'image/bmp'
    expect(await outcome(juliet, setsCard(photo({ ...of, type: claimed })))).toBe('result')
    expect(await photoSeenBy(tybalt)).toEqual(shown(of))
  }
})

conversation('XEP-0398 §4: every available presence says the hash, to rooms and strangers too', { modules }, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  await publishesPicture(juliet, PNG)
  for (const actor of [juliet, romeo]) await actor.ignores()
  await juliet.sends('<presence><show>away</show></presence>')
  await romeo.receives(present(juliet, romeo, `<show>away</show>${update(PNG.hash)}`))
  await juliet.sends(xml`<presence to="${tybalt.jid}"/>`)
  await tybalt.receives(xml`<presence from="${juliet.jid}" to="${tybalt.jid}">${update(PNG.hash)}</presence>`)
  await juliet.sends(xml`<presence type="unavailable" to="${tybalt.jid}"/>`)
  await tybalt.receives(xml`<presence type="unavailable" from="${juliet.jid}" to="${tybalt.jid}"/>`)
  // Whoever comes later is told by what was said before.
  const garden = await scene.connect('romeo@verona.example/garden')
  await garden.sends('<presence/>')
  await garden.receivesInAnyOrder(
    present(garden, garden, ''),
    xml`<presence from="${romeo.jid}" to="${romeo.bareJid}">${any}</presence>`,
    xml`<presence from="${juliet.jid}" to="${garden.jid}"><show>away</show>${update(PNG.hash)}</presence>`,
  )
})

conversation('XEP-0398 §4: a client that hides its picture is left alone; others are put right', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  const says = async (inner: string, heard: string) => {
    await juliet.sends(`<presence>${inner}</presence>`)
    await romeo.receives(present(juliet, romeo, heard))
  }
  const empty = `<x xmlns="${UPDATE}"/>`
  // Without a picture nothing is said; that a client is not ready means that there is none.
  await says('', '')
  await says(empty, update())
  await says(update(JPEG.hash), update(JPEG.hash))
  await publishesPicture(juliet, PNG)
  await romeo.ignores()
  await says(empty, update(PNG.hash))
  await says(update(JPEG.hash), update(PNG.hash))
  await says(update(PNG.hash.toUpperCase()), update(PNG.hash.toUpperCase()))
  await says(update(), update())
  // §4: hidden, whatever is published.
  await publishesPicture(juliet, JPEG)
  expect(await toldOf(romeo)).toEqual([`${METADATA} ${JPEG.hash}`])
  await says('', update(JPEG.hash))
})

conversation(
  'XEP-0153 §4.1: contacts are told of another picture, and that there is none any more, by presence',
  { modules },
  async (scene) => {
    const { juliet, romeo } = await couple(scene)
    const chamber = await scene.comesOnline(`${JULIET}/chamber`, `<presence>${capsFor()}<priority>3</priority></presence>`)
    const nurse = await scene.comesOnline('nurse@verona.example/street')
    await scene.befriend(juliet, nurse)
    await chamber.ignores()
    const heard = async () =>
      (await nurse.collects()).map((stanza) => [stanza.attrs.from, stanza.getChild('x', UPDATE)?.getChildText('photo')])
    for (const [change, hash] of [
      [() => publishesPicture(juliet, PNG), PNG.hash],
      [() => publishesPicture(chamber, JPEG), JPEG.hash],
      [
        async () =>
          expect(await outcome(juliet, publishes(METADATA, undefined, `<metadata xmlns="${METADATA}"/>`))).toBe('result'),
        '',
      ],
      [() => publishesPicture(juliet, PNG), PNG.hash],
      [async () => expect(await outcome(juliet, retracts(DATA, PNG.hash))).toBe('result'), ''],
    ] as const) {
      await change()
      expect((await heard()).toSorted()).toEqual([
        [juliet.jid, hash],
        [chamber.jid, hash],
      ])
    }
    await romeo.ignores()
    expect(await photoSeenBy(nurse)).toBeUndefined()
  },
)

conversation('XEP-0398 §3.1: data that come behind their metadata are found as well', { modules }, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  expect(await outcome(juliet, publishes(METADATA, PNG.hash, metadata(PNG), OPEN))).toBe('result')
  expect(await outcome(juliet, publishes(DATA, PNG.hash, data(PNG), OPEN))).toBe('result')
  expect((await romeo.collects()).map(({ name }) => name)).toEqual(['message', 'presence'])
  expect(await photoSeenBy(tybalt)).toEqual(shown(PNG))
})

conversation('XEP-0398 §5.2, §7, §8: a picture for contacts is shown and told to contacts', { modules }, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  await publishesPicture(juliet, PNG, FOR_CONTACTS)
  expect(await photoSeenBy(romeo)).toEqual(shown(PNG))
  await tybalt.sends(reads(JULIET))
  await tybalt.receives(refusal('service-unavailable', { id: 'v2', from: JULIET, to: tybalt.jid }))
  await romeo.ignores()
  await juliet.sends('<presence/>')
  await romeo.receives(present(juliet, romeo, update(PNG.hash)))
  await juliet.sends(xml`<presence to="${tybalt.jid}"/>`)
  await tybalt.receives(xml`<presence from="${juliet.jid}" to="${tybalt.jid}"/>`)

  const own = publishOptions({ access_model: 'whitelist' })
  const nurse = await scene.comesOnline('nurse@verona.example/street')
  await publishesPicture(nurse, PNG, own)
  await nurse.ignores()
  await nurse.sends('<presence/>')
  await nurse.receives(present(nurse, nurse, ''))
  expect(await photoSeenBy(nurse, nurse.bareJid)).toEqual(shown(PNG))
})

conversation('XEP-0084 §3.1: data that its id is not the hash of is refused', { modules }, async (scene) => {
  const { juliet, tybalt } = await couple(scene)
  for (const [id, payload] of [
    [JPEG.hash, data(PNG)],
    [undefined, data(PNG)],
    [PNG.hash, `<data xmlns="${DATA}">${PNG.base64}!</data>`],
    [PNG.hash, `<picture xmlns="${DATA}">${PNG.base64}</picture>`],
    [PNG.hash, `<data xmlns="urn:other">${PNG.base64}</data>`],
  ] as const)
    expect(await outcome(juliet, publishes(DATA, id, payload, OPEN))).toBe('bad-request invalid-payload')
  // Metadata of a picture that is not there, or of none at all.
  for (const payload of [metadata(PNG), '<x xmlns="urn:x"/>', `<metadata xmlns="${METADATA}"><info id="&lt;"/></metadata>`])
    expect(await outcome(juliet, publishes(METADATA, PNG.hash, payload, OPEN))).toBe('result')
  await juliet.ignores()
  await juliet.sends('<presence/>')
  await juliet.receives(present(juliet, juliet, ''))
  await tybalt.sends(reads(JULIET))
  await tybalt.receives(refusal('service-unavailable', { id: 'v2', from: JULIET, to: tybalt.jid }))
})

conversation(
  'XEP-0153 §4.5: what is no picture stays in the card as it is, and changes nothing else',
  { modules },
  async (scene) => {
    const { juliet, romeo, tybalt } = await couple(scene)
    for (const inner of [
      '<PHOTO><EXTVAL>https://verona.example/j.png</EXTVAL></PHOTO>',
      '<PHOTO><TYPE>image/png</TYPE><BINVAL>no-base-64</BINVAL></PHOTO>',
      '<PHOTO><TYPE>text/plain</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO>',
    ]) {
      expect(await outcome(juliet, setsCard(inner))).toBe('result')
      const answer = xml`<iq type="result" id="v2" from="${JULIET}" to="${tybalt.jid}"><vCard xmlns="vcard-temp">${inner}</vCard></iq>`
      await tybalt.sends(reads(JULIET))
      await tybalt.receives(answer)
    }
    await romeo.receivesNothing()
  },
)

conversation('XEP-0153 §4.6: a picture that no item holds is refused, and the card stays as it was', memory, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  expect(await outcome(juliet, setsCard(`<FN>Juliet</FN>${photo(PNG)}`))).toBe('result')
  await romeo.ignores()
  const huge = picture(`89504e470d0a1a0a${'00'.repeat(150_000)}`, 'image/png')
  expect(await outcome(juliet, setsCard(`<FN>Jule</FN>${photo(huge)}`))).toBe('policy-violation text')
  expect(await outcome(juliet, publishes(DATA, huge.hash, data(huge), OPEN))).toBe('not-acceptable payload-too-big')
  await romeo.receivesNothing()
  const card = (await asks(tybalt, reads(JULIET))).getChild('vCard', 'vcard-temp')
  expect(card?.getChildText('FN')).toBe('Juliet')
  expect(await photoSeenBy(tybalt)).toEqual(shown(PNG))
})

conversation('XEP-0398 §4: a storm of pictures ends in the last one, everywhere', memory, async (scene) => {
  const { juliet, romeo, tybalt } = await couple(scene)
  const pictures = Array.from({ length: 40 }, (_, nth) =>
    picture(`89504e470d0a1a0a${nth.toString(16).padStart(4, '0')}`, 'image/png'),
  )
  await juliet.sends(pictures.map((of) => setsCard(photo(of))).join(''))
  const last = pictures.at(-1) ?? PNG
  expect(await photoSeenBy(juliet)).toEqual(shown(last))
  await scene.settle()
  const heard = (await romeo.collects()).filter(({ name }) => name === 'presence')
  expect(heard.length).toBeLessThanOrEqual(pictures.length)
  expect(heard.at(-1)?.getChild('x', UPDATE)?.getChildText('photo')).toBe(last.hash)
  expect(await photoSeenBy(tybalt)).toEqual(shown(last))
})

conversation('XEP-0398 §4: the hash is said after a restart as before it', memory, async (scene) => {
  const { juliet } = await couple(scene)
  await publishesPicture(juliet, PNG)
  await scene.dies()
  const again = await scene.connect(`${JULIET}/balcony`)
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  await again.sends('<presence/>')
  await romeo.receives(present(again, romeo, update(PNG.hash)))
})

conversation(
  'XEP-0077 §3.2: with the account goes what its presence said',
  { modules: [...modules, registration], carriers: ['memory'] },
  async (scene) => {
    const { juliet } = await couple(scene)
    await publishesPicture(juliet, PNG)
    await juliet.sends('<iq type="set" id="x1"><query xmlns="jabber:iq:register"><remove/></query></iq>')
    await scene.settle()
    expect(await scene.driver.documents('avatars/shown').list(JULIET)).toEqual([])
    const another = await scene.connect(`${JULIET}/balcony`)
    await another.sends('<presence/>')
    await another.receives(present(another, another, ''))
  },
)
