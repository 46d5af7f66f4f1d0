import { expect, test } from 'vitest'
import { parseStanza } from '#stanzas/stanza.ts'
import { wire } from '#stanzas/wire.ts'
import { isText } from './storable.ts'

const isTextOf = (type: string, payloads: string): boolean =>
  isText(parseStanza(wire(`<message type='${type}'>${payloads}</message>`)))

test('a message with a body is text, and one with none is not', () => {
  expect(isTextOf('chat', '<body>Hello</body>')).toBe(true)
  expect(isTextOf('normal', "<active xmlns='http://jabber.org/protocol/chatstates'/><body>Hello</body>")).toBe(true)
  expect(isTextOf('chat', "<received xmlns='urn:xmpp:receipts' id='m1'/>")).toBe(false)
  expect(isTextOf('chat', "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>")).toBe(false)
  expect(isTextOf('chat', "<x xmlns='urn:example'><body>Hello</body></x>")).toBe(false)
  expect(isTextOf('error', '<body>Hello</body>')).toBe(false)
})

test('XEP-0384 §5.5.3: an encrypted message is text, one that only passes a key on is not', () => {
  for (const ns of ['eu.siacs.conversations.axolotl', 'urn:xmpp:omemo:2']) {
    const encrypted = (payload: string) =>
      `<encrypted xmlns='${ns}'><header sid='1'/>${payload}</encrypted><store xmlns='urn:xmpp:hints'/>`
    expect(isTextOf('chat', encrypted('<payload>QQ==</payload>'))).toBe(true)
    expect(isTextOf('chat', encrypted(''))).toBe(false)
  }
})
