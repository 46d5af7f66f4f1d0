import { describe, expect, test } from 'vitest'
import { el } from './element.ts'
import { type Address, addressOf } from './jid.ts'
import { NS_CLIENT, NS_STREAMS } from './namespaces.ts'
import { serialize } from './serialize.ts'
import { iq, message, type Payload, parseStanza, presence, type Stanza } from './stanza.ts'
import { wire } from './wire.ts'
import { parseElement, XmlError, XmlStream } from './xml-stream.ts'

const address = (text: string): Address => addressOf(wire(text)) ?? expect.fail(`${text} is no address`)
const JULIET = address('juliet@capulet.example/balcony')
const ROMEO = address('romeo@montague.example')
const NS_SID = 'urn:xmpp:sid:0'
const STANZA_ID = wire(`<stanza-id xmlns='${NS_SID}' id='s1' by='romeo@montague.example'/>`)
const isStanzaId = ({ ns, name }: Payload): boolean => ns === NS_SID && name === 'stanza-id'
const names = (stanza: Stanza): readonly string[] => stanza.payloads.map(({ ns, name }) => `{${ns}}${name}`)

/** A stanza as it comes out of a stream with this header. */
const received = (text: string, declarations = "xmlns='jabber:client'"): Stanza => {
  const stanzas: Stanza[] = []
  const handler = {
    onOpen: () => {},
    onStanza: (stanza: Stanza) => void stanzas.push(stanza),
    onElement: () => {},
    onClose: () => {},
  }
  const stream = new XmlStream(
    handler,
    { maxStanzaBytes: 100_000, maxDepth: 32, maxAttributes: 32, maxElements: 4_096, maxPayloads: 256 },
    'stream',
  )
  stream.write(Buffer.from(`<stream:stream ${declarations} xmlns:stream='${NS_STREAMS}'>${text}`))
  return stanzas[0] ?? expect.fail('no stanza was read')
}

describe('a stanza that was received', () => {
  const text = `<message type="chat" to='Romeo@montague.example' id='a&amp;b"' xml:lang='it'>
    <body>Che dìce?</body><stanza-id xmlns='${NS_SID}' id='fake'/><x xmlns='urn:x'><body>no</body>a<![CDATA[<b>]]></x><body xml:lang='en'>What?</body></message>`

  test('tells its kind, attributes and payloads', () => {
    const stanza = received(text)
    expect(stanza.kind).toBe('message')
    expect([stanza.id, stanza.type, stanza.lang]).toEqual(['a&b"', 'chat', 'it'])
    expect(stanza.to?.jid).toBe('romeo@montague.example')
    expect(stanza.from).toBeUndefined()
    expect(stanza.hasMalformedAddress).toBe(false)
    expect(names(stanza)).toEqual(['{jabber:client}body', `{${NS_SID}}stanza-id`, '{urn:x}x', '{jabber:client}body'])
    expect(stanza.has('urn:x', 'x')).toBe(true)
    expect(stanza.has(NS_CLIENT, 'x')).toBe(false)
  })

  test('gives its payloads as text and as trees', () => {
    const stanza = received(text)
    expect(stanza.text(NS_CLIENT, 'body')).toBe('Che dìce?')
    expect(stanza.text('urn:x', 'x')).toBe('a<b>')
    expect(stanza.text('urn:x', 'y')).toBeUndefined()
    expect(stanza.get('urn:x', 'x')?.getChildText('body')).toBe('no')
    expect(stanza.get('urn:x', 'x')).toBe(stanza.get('urn:x', 'x'))
    expect(stanza.get('urn:x', 'y')).toBeUndefined()
    expect(stanza.elements().map(({ name }) => name)).toEqual(['body', 'stanza-id', 'x', 'body'])
  })

  test('has the bytes that came, and knows how many', () => {
    const stanza = received(text)
    expect(stanza.wire).toBe(Buffer.from(text).toString('latin1'))
    expect(stanza.size).toBe(Buffer.byteLength(text))
  })

  test('RFC 6120 §4.8.2: its namespace is not declared where it goes, but inside a frame or another element it is', () => {
    const stanza = received("<presence xmlns='jabber:client' id='1'/>", "xmlns='urn:other'")
    expect(stanza.wire).toBe("<presence id='1'/>")
    expect(stanza.selfContained).toBe("<presence xmlns='jabber:client' id='1'/>")
  })

  test('RFC 6120 §8.3.3.8: says whether an address is malformed', () => {
    expect(received("<message to='@'/>").hasMalformedAddress).toBe(true)
    expect(received("<message from='@'/>").hasMalformedAddress).toBe(true)
    expect(received("<message to='@'/>").to).toBeUndefined()
    expect(received(`<message xmlns='jabber:client' to='a"b@' from="a'b@"/>`).wire).toBe(`<message from="a'b@" to='a"b@'/>`)
  })
})

describe('a restamped copy', () => {
  test('RFC 6120 §8.1.2.1: has another from and to, and every other byte', () => {
    const stanza = received(`<iq id = "1"\ttype='get' x='y'><query xmlns="jabber:iq:roster"\n/></iq >`)
    expect(stanza.restamp({ from: JULIET, to: ROMEO }).wire).toBe(
      `<iq from='juliet@capulet.example/balcony' to='romeo@montague.example' id = "1"\ttype='get' x='y'><query xmlns="jabber:iq:roster"\n/></iq >`.replace(
        '</iq >',
        '</iq>',
      ),
    )
    expect(stanza.restamp({ from: JULIET }).from).toBe(JULIET)
  })

  test('an absent key keeps, an undefined value leaves out', () => {
    const stanza = received("<message from='a@b' to='c@d' id='1' type='chat'/>")
    expect(stanza.restamp({}).wire).toBe("<message from='a@b' to='c@d' id='1' type='chat'/>")
    expect(stanza.restamp({ from: undefined }).wire).toBe("<message to='c@d' id='1' type='chat'/>")
    expect(stanza.restamp({ to: undefined, id: undefined }).wire).toBe("<message from='a@b' type='chat'/>")
    expect(stanza.restamp({ type: undefined, id: "'<2>" }).wire).toBe("<message from='a@b' to='c@d' id='&apos;&lt;2&gt;'/>")
    const renamed = stanza.restamp({ type: 'error', id: "'<2>" })
    expect([renamed.id, renamed.type]).toEqual(["'<2>", 'error'])
    expect([stanza.id, stanza.type]).toEqual(['1', 'chat'])
  })

  test('XEP-0359 §3: loses what was spoofed and gains what was appended', () => {
    const spoofed = `<stanza-id xmlns='${NS_SID}' id='fake'/>`
    const stanza = received(`<message>${spoofed}<body>a</body>${spoofed} <x xmlns='urn:x'/>${spoofed}</message>`)
    const copy = stanza.restamp({ from: JULIET, drop: isStanzaId, append: STANZA_ID })
    expect(copy.wire).toBe(
      `<message from='juliet@capulet.example/balcony'><body>a</body> <x xmlns='urn:x'/>${STANZA_ID}</message>`,
    )
    expect(names(copy)).toEqual(['{jabber:client}body', '{urn:x}x', `{${NS_SID}}stanza-id`])
    expect(copy.get(NS_SID, 'stanza-id')?.attrs).toEqual({ id: 's1', by: 'romeo@montague.example' })
    expect(copy.text(NS_CLIENT, 'body')).toBe('a')
    expect(copy.get('urn:x', 'x')).toEqual(el('urn:x', 'x'))

    const again = copy.restamp({ append: el('urn:y', 'y', {}, '<'), drop: isStanzaId })
    expect(again.wire).toBe(
      "<message from='juliet@capulet.example/balcony'><body>a</body> <x xmlns='urn:x'/><y xmlns='urn:y'>&lt;</y></message>",
    )
    expect(again.text('urn:y', 'y')).toBe('<')
    expect(stanza.payloads).toHaveLength(5)
  })

  test('appends twice, several elements, and to what was empty', () => {
    const stanza = received('<presence/>')
    const copy = stanza.restamp({ append: STANZA_ID }).restamp({ append: [el('urn:a', 'a'), el(NS_CLIENT, 'show', {}, 'xa')] })
    expect(copy.wire).toBe(`<presence>${STANZA_ID}<a xmlns='urn:a'/><show>xa</show></presence>`)
    expect(names(copy)).toEqual([`{${NS_SID}}stanza-id`, '{urn:a}a', '{jabber:client}show'])
    expect(stanza.restamp({ append: [] }).wire).toBe('<presence/>')
    expect(received('<presence><show/></presence>').restamp({ drop: () => true }).wire).toBe('<presence/>')
  })

  test('drop is told of the stanza that is looked through', () => {
    const stanza = received("<message><a/><b xmlns='urn:b'/></message>")
    expect(stanza.restamp({ drop: (payload, whole) => whole === stanza && payload.name === 'a' }).wire).toBe(
      "<message><b xmlns='urn:b'/></message>",
    )
  })

  test('copies that only differ in their addresses share the rest of the text', () => {
    const stanza = message({ id: '1' }, el(NS_CLIENT, 'body', {}, 'x'.repeat(1000)))
    const copies = [JULIET, ROMEO].map((to) => stanza.restamp({ to }))
    expect(copies.map(({ wire }) => wire)).toEqual(
      [JULIET, ROMEO].map(({ wire }) => `<message to='${wire}' id='1'><body>${'x'.repeat(1000)}</body></message>`),
    )
  })

  test('RFC 6120 §4.8.3: a prefix of the header still means the same', () => {
    const header = "xmlns='jabber:client' xmlns:a='urn:a' xmlns:b='urn:b&quot;'"
    const stanza = received("<message><a:x><y a:z='1'/></a:x><a:w xmlns:a='urn:own'/><c xmlns='' b:d='2'/></message>", header)
    const copy = parseStanza(wire(stanza.restamp({ to: ROMEO, append: STANZA_ID }).wire))
    expect(copy.elements()).toEqual([
      el('urn:a', 'x', {}, el(NS_CLIENT, 'y', { '{urn:a}z': '1' })),
      el('urn:own', 'w'),
      el('', 'c', { '{urn:b"}d': '2' }),
      el(NS_SID, 'stanza-id', { id: 's1', by: 'romeo@montague.example' }),
    ])
  })

  test('a prefix declared on the stanza is kept, and a payload read alone knows it', () => {
    const stanza = received("<message xmlns:p='urn:p' p:q='1'><p:x/></message>").restamp({ from: JULIET })
    expect(stanza.wire).toBe("<message from='juliet@capulet.example/balcony' xmlns:p='urn:p' p:q='1'><p:x/></message>")
    expect(stanza.get('urn:p', 'x')).toEqual(el('urn:p', 'x'))
  })

  test('appended text that is not whole is refused when it is read', () => {
    expect(() => received('<message/>').restamp({ append: wire('<a>') }).payloads).toThrow(XmlError)
  })
})

describe('a detached copy', () => {
  test.each([
    "<message to='a@b' id='1' type='chat' xml:lang='de'><body>hi</body> <x xmlns='urn:x'/></message>",
    '<message  ><body>hi</body></message\n>',
    '<presence></presence>',
    "<presence xmlns='jabber:client' from='@'/>",
  ])('says the same: %s', (text) => {
    for (const stanza of [received(text), received(text).restamp({ from: JULIET, append: STANZA_ID })]) {
      const copy = stanza.detach()
      expect(parseElement(copy.selfContained)).toEqual(parseElement(stanza.selfContained))
      expect(names(copy)).toEqual(names(stanza))
      expect(copy.elements()).toEqual(stanza.elements())
      expect([copy.id, copy.type, copy.lang, copy.to, copy.from]).toEqual([
        stanza.id,
        stanza.type,
        stanza.lang,
        stanza.to,
        stanza.from,
      ])
      expect(copy.hasMalformedAddress).toBe(stanza.hasMalformedAddress)
      expect(parseElement(copy.restamp({ to: ROMEO }).selfContained)).toEqual(
        parseElement(stanza.restamp({ to: ROMEO }).selfContained),
      )
    }
  })
})

describe('a stanza of our own', () => {
  test('is written as it was meant', () => {
    const stanza = iq(
      { from: ROMEO, to: JULIET, id: '<1>', type: 'result', lang: 'en' },
      el('urn:x', 'query', { a: "'" }),
      undefined,
      el(NS_CLIENT, 'b', {}, '&'),
    )
    expect(stanza.wire).toBe(
      "<iq from='romeo@montague.example' to='juliet@capulet.example/balcony' id='&lt;1&gt;' type='result' xml:lang='en'><query xmlns='urn:x' a='&apos;'/><b>&amp;</b></iq>",
    )
    expect(names(stanza)).toEqual(['{urn:x}query', '{jabber:client}b'])
    expect([stanza.id, stanza.type, stanza.lang, stanza.text(NS_CLIENT, 'b')]).toEqual(['<1>', 'result', 'en', '&'])
    expect([stanza.from, stanza.to]).toEqual([ROMEO, JULIET])
  })

  test('may be empty', () => {
    expect(presence({}).wire).toBe('<presence/>')
    expect([presence({}).id, presence({}).type, presence({}).lang, presence({}).to]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })

  test('can be restamped, and its elements are the ones it was made of', () => {
    const show = el(NS_CLIENT, 'show', {}, 'away')
    const copy = presence({ from: ROMEO }, el('urn:x', 'x'), show).restamp({ drop: ({ name }) => name === 'x', to: JULIET })
    expect(copy.wire).toBe(
      "<presence from='romeo@montague.example' to='juliet@capulet.example/balcony'><show>away</show></presence>",
    )
    expect(copy.get(NS_CLIENT, 'show')).toBe(show)
  })
})

describe('parseStanza', () => {
  test.each(['<message/>', "<iq id='1'><query xmlns='urn:q'/></iq>"])('reads back what was written: %s', (text) => {
    expect(parseStanza(wire(text)).wire).toBe(text)
    expect(parseStanza(parseStanza(wire(text)).selfContained).wire).toBe(text)
  })

  test.each(['', '<message>', '<message/> ', '<body/>', "<message xmlns='urn:x'/>", '<message/><message/>', 'x'])(
    '%j is no stanza',
    (text) => {
      expect(() => parseStanza(wire(text))).toThrow(XmlError)
    },
  )
})

describe('serialize', () => {
  test('declares namespaces only where they change', () => {
    const element = el('urn:a', 'a', {}, el('urn:a', 'b'), el('', 'c', {}, el('urn:a', 'd')))
    expect(serialize(element, 'urn:a')).toBe("<a><b/><c xmlns=''><d xmlns='urn:a'/></c></a>")
    expect(serialize(element, NS_CLIENT)).toBe("<a xmlns='urn:a'><b/><c xmlns=''><d xmlns='urn:a'/></c></a>")
  })

  test('writes prefixed attributes and escapes', () => {
    const element = el(
      'urn:a',
      'näme',
      { 'xml:lang': 'de', '{urn:p}x': '1', '{urn:q}x': "\n'2", '{http://www.w3.org/XML/1998/namespace}space': 'preserve' },
      '<ä\r>',
    )
    expect(parseElement(serialize(element, ''))).toEqual(element)
  })

  test('XML §2.2: characters that no document may hold become U+FFFD', () => {
    expect(parseElement(serialize(el('', 'a', { b: '\u0000\ud800' }, '\u0001\ufffe\udc00x'), '')).text()).toBe(
      '\ufffd\ufffd\ufffdx',
    )
  })
})
