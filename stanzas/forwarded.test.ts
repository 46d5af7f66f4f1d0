import { expect, test } from 'vitest'
import { readDelay } from './delay.ts'
import { el } from './element.ts'
import { forwardedWire } from './forwarded.ts'
import { makeJid } from './jid.ts'
import { NS_CLIENT, NS_DELAY, NS_FORWARD } from './namespaces.ts'
import { message, parseStanza } from './stanza.ts'
import { wire } from './wire.ts'

const juliet = makeJid('juliet', 'capulet.lit', 'orchard')
if (juliet === undefined) throw new Error('no JID')
const atMs = Date.UTC(2010, 6, 10, 23, 8, 25)

const forwardedIn = (text: string) => parseStanza(wire(`<message>${text}</message>`)).get(NS_FORWARD, 'forwarded')

test('XEP-0297 §3.1: the stanza keeps its namespace inside the wrapper, beside the delay', () => {
  const original = message(
    { from: juliet, type: 'chat', id: '0202197' },
    el(NS_CLIENT, 'body', {}, 'Yet & yet'),
    el('urn:x', 'mood'),
  )
  const forwarded = forwardedIn(forwardedWire(original, { from: juliet.bareAddress, atMs }))
  const inner = forwarded?.getChild('message', NS_CLIENT)
  expect(inner?.attrs).toEqual({ from: juliet.jid, type: 'chat', id: '0202197' })
  expect(inner?.getChildText('body')).toBe('Yet & yet')
  expect(inner?.getChild('mood', 'urn:x')).toBeDefined()
  const delay = forwarded?.getChild('delay', NS_DELAY)
  expect(delay === undefined ? undefined : readDelay(delay)).toMatchObject({ atMs, from: juliet.bareAddress })
})

test('XEP-0297 §3.2: a namespace the stanza declares itself is declared once', () => {
  const original = parseStanza(wire("<message xmlns='jabber:client' xmlns:p='urn:p'><p:x/></message>"))
  const text = forwardedWire(original)
  expect(text.split("xmlns='jabber:client'").length).toBe(2)
  expect(forwardedIn(text)?.getChild('message', NS_CLIENT)?.getChild('x', 'urn:p')).toBeDefined()
})
