import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { el } from './element.ts'
import { makeJid } from './jid.ts'
import { NS_CLIENT, NS_STANZA_ID } from './namespaces.ts'
import { message, parseStanza } from './stanza.ts'
import { isSpoofedStanzaId, logIdToText, stanzaIdWire, textToLogId } from './stanza-id.ts'

const juliet = makeJid('juliet', 'capulet.example')
if (juliet === undefined) throw new Error('no JID')

const anyId = fc.oneof(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.integer({ min: 0, max: 2 ** 26 }))

describe('ids as text', () => {
  test.each([
    [0, '00000000000'],
    [31, '0000000000v'],
    [32, '00000000010'],
    [2 ** 25, '00000100000'],
    [Number.MAX_SAFE_INTEGER, '7vvvvvvvvvv'],
  ])('%i is %s', (id, text) => {
    expect(logIdToText(id)).toBe(text)
    expect(textToLogId(text)).toBe(id)
  })

  test('every id is read back', () => {
    fc.assert(fc.property(anyId, (id) => textToLogId(logIdToText(id)) === id))
  })

  test('texts sort as their ids do', () => {
    fc.assert(fc.property(anyId, anyId, (a, b) => a < b === logIdToText(a) < logIdToText(b)))
  })

  test.each(['', '0', '0000000000V', '0000000000w', '000000000000', 'vvvvvvvvvvv', '80000000000', ' 0000000000', '-0000000001'])(
    '%j is none',
    (text) => {
      expect(textToLogId(text)).toBeUndefined()
    },
  )
})

test('XEP-0359 §3: a stanza-id says who assigned it', () => {
  expect(stanzaIdWire(juliet, 33)).toBe("<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@capulet.example' id='00000000011'/>")
  const stanza = parseStanza(message({}, el(NS_CLIENT, 'body', {}, 'hi')).restamp({ append: stanzaIdWire(juliet, 33) }).wire)
  expect(stanza.get(NS_STANZA_ID, 'stanza-id')?.attrs).toEqual({ by: juliet.jid, id: '00000000011' })
})

describe('ids that others made up', () => {
  const stanzaId = (by: string | undefined) => el(NS_STANZA_ID, 'stanza-id', { by, id: 'made-up' })

  test('XEP-0359 §3: what claims to be by the address is found, however it is written, and nothing else', () => {
    const claimed = [stanzaId('romeo@m.example'), stanzaId('Juliet@CAPULET.example.'), stanzaId(undefined), stanzaId('@')]
    const others = [
      el(NS_STANZA_ID, 'origin-id', { id: 'o' }),
      el(NS_CLIENT, 'body', {}, 'hi'),
      el('x', 'stanza-id', { by: juliet.jid }),
    ]
    const stanza = message({}, ...others, ...claimed)
    const spoofed = stanza.payloads.filter((payload) => isSpoofedStanzaId(payload, stanza, juliet))
    expect(spoofed.map((payload) => stanza.payloads.indexOf(payload))).toEqual([4])
  })

  test('XEP-0359 §3: they are dropped, the id of another entity stays', () => {
    const stanza = parseStanza(
      message({}, stanzaId('juliet@capulet.example'), stanzaId('room@muc.example'), el(NS_CLIENT, 'body', {}, 'hi')).wire,
    )
    const clean = stanza.restamp({ drop: (payload, of) => isSpoofedStanzaId(payload, of, juliet) })
    expect(clean.elements().map((element) => element.attrs.by ?? element.name)).toEqual(['room@muc.example', 'body'])
  })
})
