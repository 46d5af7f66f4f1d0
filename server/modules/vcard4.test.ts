import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Actor, any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { readElements } from '#server/testing/match.ts'
import { asks, featuresOf, itemsOf, listens, outcome, publishes, publishOptions, toldOf } from '#server/testing/pep-stanzas.ts'
import { type Element, el } from '#stanzas/element.ts'
import { serialize } from '#stanzas/serialize.ts'
import { avatars } from './avatars.ts'
import { presence } from './presence.ts'
import { toVcard4, toVcardTemp } from './vcard4/conversion.ts'
import { vcard4 } from './vcard4.ts'

const modules = [presence, avatars, vcard4]
const NODE = 'urn:xmpp:vcard4'
const FOUR = 'urn:ietf:params:xml:ns:vcard-4.0'
const JULIET = 'juliet@verona.example'

const card = (inner: string) => `<vCard xmlns="vcard-temp">${inner}</vCard>`
const vcard = (inner: string) => `<vcard xmlns="${FOUR}">${inner}</vcard>`
const setsCard = (inner: string) => xml`<iq type="set" id="v1">${card(inner)}</iq>`
const reads = (to: string) => xml`<iq type="get" id="v2" to="${to}"><vCard xmlns="vcard-temp"/></iq>`
const shows = (actor: Actor, inner: string) =>
  xml`<iq type="result" id="v2" from="${JULIET}" to="${actor.jid}">${card(inner)}</iq>`
const one = (text: string): Element => readElements(text)[0] ?? el('', 'nothing')
const show = (text: string): string => serialize(one(text), '')
const kept = async (actor: Actor) => serialize((await itemsOf(actor, NODE, JULIET))[0]?.[1] ?? el('', 'nothing'), '')

const couple = async (scene: Scene) => {
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const romeo = await listens(scene, 'romeo@verona.example/orchard', NODE)
  await scene.befriend(juliet, romeo)
  const tybalt = await scene.comesOnline('tybalt@verona.example/square')
  return { juliet, romeo, tybalt }
}

// XEP-0292 §12.2, §12.3, but for what stands in neither form as the other has it.
const OLD = `<FN>Peter Saint-Andre</FN><N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN><MIDDLE>X</MIDDLE></N>
<NICKNAME>stpeter</NICKNAME><NICKNAME>psa</NICKNAME><BDAY>1966-08-06</BDAY>
<ADR><WORK/><PREF/><EXTADD>Suite 600</EXTADD><STREET>1899 Wynkoop Street</STREET><LOCALITY>Denver</LOCALITY><REGION>CO</REGION><PCODE>80202</PCODE><CTRY>USA</CTRY></ADR>
<ADR><HOME/><LOCALITY>Parker</LOCALITY></ADR>
<TEL><WORK/><VOICE/><PREF/><NUMBER>+1-303-308-3282</NUMBER></TEL><TEL><TEXT/><VOICE/><CELL/><NUMBER>+1-720-256-6756</NUMBER></TEL>
<EMAIL><WORK/><USERID>psaintan@cisco.com</USERID></EMAIL><JABBERID>stpeter@jabber.org</JABBERID><TZ>America/Denver</TZ>
<GEO><LAT>39.59</LAT><LON>-105.01</LON></GEO><TITLE>Executive Director</TITLE><ROLE>Patron Saint</ROLE>
<ORG><ORGNAME>XMPP Standards Foundation</ORGNAME><ORGUNIT>Board</ORGUNIT></ORG><URL>https://stpeter.im/</URL><DESC>More: https://stpeter.im/</DESC>`.replaceAll(
  '\n',
  '',
)
const NEW =
  `<fn><text>Peter Saint-Andre</text></fn><n><surname>Saint-Andre</surname><given>Peter</given><additional>X</additional></n>
<nickname><text>stpeter</text></nickname><nickname><text>psa</text></nickname><bday><date>1966-08-06</date></bday>
<adr><parameters><type><text>work</text></type><pref><integer>1</integer></pref></parameters><ext>Suite 600</ext><street>1899 Wynkoop Street</street><locality>Denver</locality><region>CO</region><code>80202</code><country>USA</country></adr>
<adr><parameters><type><text>home</text></type></parameters><locality>Parker</locality></adr>
<tel><parameters><type><text>work</text><text>voice</text></type><pref><integer>1</integer></pref></parameters><uri>tel:+1-303-308-3282</uri></tel><tel><parameters><type><text>text</text><text>voice</text><text>cell</text></type></parameters><uri>tel:+1-720-256-6756</uri></tel>
<email><parameters><type><text>work</text></type></parameters><text>psaintan@cisco.com</text></email><impp><uri>xmpp:stpeter@jabber.org</uri></impp><tz><text>America/Denver</text></tz>
<geo><uri>geo:39.59,-105.01</uri></geo><title><text>Executive Director</text></title><role><text>Patron Saint</text></role>
<org><text>XMPP Standards Foundation</text><text>Board</text></org><url><uri>https://stpeter.im/</uri></url><note><text>More: https://stpeter.im/</text></note>`.replaceAll(
    '\n',
    '',
  )

test('XEP-0292 §11: each form is the other, both ways', () => {
  expect(serialize(toVcard4(one(card(OLD)), undefined), '')).toBe(show(vcard(NEW)))
  expect(serialize(toVcardTemp(one(vcard(NEW)), one(card(''))), '')).toBe(show(card(OLD)))
})

test('XEP-0292 §11: a card that was converted is shown as it was set, whatever is in it', () => {
  const names = [
    'FN',
    'N',
    'TEL',
    'NUMBER',
    'ORG',
    'ORGNAME',
    'GEO',
    'LAT',
    'PHOTO',
    'fn',
    'text',
    'uri',
    'parameters',
    'type',
    'HOME',
  ]
  const { tree } = fc.letrec<{ tree: Element; node: Element | string }>((tie) => ({
    tree: fc
      .tuple(
        fc.constantFrom('vcard-temp', FOUR, 'urn:x'),
        fc.constantFrom(...names),
        fc.array(tie('node'), { maxLength: 4, depthIdentifier: 'card' }),
      )
      .map(([ns, name, children]) => el(ns, name, {}, ...children)),
    node: fc.oneof({ depthSize: 'small', depthIdentifier: 'card' }, fc.string({ maxLength: 5 }), tie('tree')),
  }))
  fc.assert(
    fc.property(fc.array(tree, { maxLength: 6 }), fc.array(tree, { maxLength: 6 }), (old, before) => {
      const set = el('vcard-temp', 'vCard', {}, ...old)
      expect(toVcardTemp(toVcard4(set, el(FOUR, 'vcard', {}, ...before)), set)).toBe(set)
      // And what was not converted does not fail.
      toVcardTemp(el(FOUR, 'vcard', {}, ...before), set)
    }),
    { seed: 292, numRuns: 300 },
  )
})

conversation('XEP-0292 §7: an account says that it has cards of the new form', { modules }, async (scene) => {
  const { juliet } = await couple(scene)
  expect(await featuresOf(juliet)).toContain(FOUR)
})

conversation(
  'XEP-0292 §4.1, §11: what is published is in the old card too, with what was there before',
  { modules },
  async (scene) => {
    const { juliet, tybalt } = await couple(scene)
    const more = '<CATEGORIES><KEYWORD>x</KEYWORD></CATEGORIES>'
    expect(await outcome(juliet, setsCard(`<FN>Juliet</FN>${more}<EMAIL><INTERNET/><USERID>j@v.example</USERID></EMAIL>`))).toBe(
      'result',
    )
    expect(await kept(tybalt)).toBe(show(vcard('<fn><text>Juliet</text></fn><email><text>j@v.example</text></email>')))
    const email = '<email><text>j@v.example</text></email>'
    expect(
      await outcome(
        juliet,
        publishes(NODE, 'a', vcard(`<fn><text>Jule</text></fn>${email}<lang><language-tag>it</language-tag></lang>`)),
      ),
    ).toBe('result')
    await tybalt.sends(reads(JULIET))
    await tybalt.receives(shows(tybalt, `<FN>Jule</FN><EMAIL><INTERNET/><USERID>j@v.example</USERID></EMAIL>${more}`))
    // And back: what only the new form says stays.
    expect(await outcome(juliet, setsCard('<FN>Julia</FN>'))).toBe('result')
    expect(await kept(tybalt)).toBe(show(vcard('<fn><text>Julia</text></fn><lang><language-tag>it</language-tag></lang>')))
    await tybalt.sends(reads(JULIET))
    await tybalt.receives(shows(tybalt, '<FN>Julia</FN>'))
  },
)

conversation('XEP-0292 §4.2.2: who listens is told that there is another card, once', { modules }, async (scene) => {
  const { juliet, romeo } = await couple(scene)
  expect(await outcome(juliet, publishes(NODE, 'a', vcard('<fn><text>Juliet</text></fn>')))).toBe('result')
  await romeo.receives(
    xml`<message type="headline" id="${any}" from="${JULIET}" to="${romeo.jid}"><event xmlns="http://jabber.org/protocol/pubsub#event"><items node="${NODE}"><item id="a"/></items></event></message>`,
  )
  for (const name of ['Jule', 'Jule', 'Jule']) expect(await outcome(juliet, setsCard(`<FN>${name}</FN>`))).toBe('result')
  expect(await toldOf(romeo)).toEqual([`${NODE} a`])
})

conversation(
  'XEP-0292 §8, XEP-0163 §5: a card for contacts shows nothing to others in either form',
  { modules },
  async (scene) => {
    const { juliet, romeo, tybalt } = await couple(scene)
    const own = publishOptions({ access_model: 'presence' })
    expect(await outcome(juliet, publishes(NODE, 'a', vcard('<fn><text>Juliet</text></fn>'), own))).toBe('result')
    const refused = async () => {
      await tybalt.sends(reads(JULIET))
      await tybalt.receives(refusal('service-unavailable', { id: 'v2', from: JULIET, to: tybalt.jid }))
    }
    await refused()
    expect(await outcome(juliet, setsCard('<FN>Jule</FN>'))).toBe('result')
    await refused()
    await romeo.ignores()
    await romeo.sends(reads(JULIET))
    await romeo.receives(shows(romeo, '<FN>Jule</FN>'))
  },
)

conversation('XEP-0060 §7.1.3.6: what is no card is refused', { modules }, async (scene) => {
  const { juliet, tybalt } = await couple(scene)
  for (const payload of [card('<FN>J</FN>'), `<vcards xmlns="${FOUR}"/>`, '<x xmlns="urn:x"/>'])
    expect(await outcome(juliet, publishes(NODE, 'a', payload))).toBe('bad-request invalid-payload')
  // Odd ones are shown as far as they say anything.
  const odd = vcard(
    '<fn/><fn><text/></fn><tel><uri>tel:</uri></tel><geo><uri>nowhere</uri></geo><n/><org/><url><text>x</text></url>',
  )
  expect(await outcome(juliet, publishes(NODE, 'a', odd, publishOptions({ access_model: 'open' })))).toBe('result')
  const answer = await asks(tybalt, reads(JULIET))
  expect(
    answer
      .getChild('vCard', 'vcard-temp')
      ?.getChildren()
      .map(({ name }) => name),
  ).toEqual(['URL'])
})

conversation('XEP-0292 §11.4, XEP-0398: the picture of a card stays where pictures are', { modules }, async (scene) => {
  const { juliet, tybalt } = await couple(scene)
  const photo = '<PHOTO><TYPE>image/gif</TYPE><BINVAL>R0lGODlh</BINVAL></PHOTO>'
  expect(await outcome(juliet, setsCard(`<FN>Juliet</FN>${photo}`))).toBe('result')
  expect(await kept(tybalt)).toBe(show(vcard('<fn><text>Juliet</text></fn>')))
  expect(await outcome(juliet, publishes(NODE, 'a', vcard('<fn><text>Jule</text></fn>')))).toBe('result')
  await tybalt.sends(reads(JULIET))
  await tybalt.receives(shows(tybalt, `<FN>Jule</FN>${photo}`))
})
