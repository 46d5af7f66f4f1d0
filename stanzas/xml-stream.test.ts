import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { Element } from './element.ts'
import { NS_CLIENT, NS_STREAMS } from './namespaces.ts'
import type { Stanza } from './stanza.ts'
import { wire } from './wire.ts'
import { parseElement, XmlError, type XmlLimits, XmlStream } from './xml-stream.ts'

const LIMITS: XmlLimits = { maxStanzaBytes: 10_000, maxDepth: 32, maxAttributes: 40, maxElements: 1_000, maxPayloads: 100 }
const HEADER = `<?xml version='1.0'?><stream:stream to='verona.example' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='${NS_STREAMS}'>`

/** What a reader told its handler, in order, and the condition it ended with. */
const listen = (framing: 'stream' | 'frames' = 'stream', limits = LIMITS) => {
  const heard: string[] = []
  const elements: Element[] = []
  const stanzas: Stanza[] = []
  const stream: XmlStream = new XmlStream(
    {
      onOpen: (header, contentNs) => heard.push(`open ${header.name} ${JSON.stringify(header.attrs)} ${contentNs}`),
      onStanza: (stanza) => {
        stanzas.push(stanza)
        heard.push(`${stanza.wire} ${stanza.payloads.map(({ ns, name }) => `{${ns}}${name}`)}`)
      },
      onElement: (element) => {
        elements.push(element)
        heard.push(`element ${JSON.stringify(element)}`)
        if (element.name === 'restart') stream.restart()
        if (element.name === 'stop') stream.stop()
      },
      onClose: () => heard.push('close'),
    },
    limits,
    framing,
  )
  const writeAll = (pieces: readonly Buffer[]): void => {
    try {
      for (const piece of pieces) stream.write(piece)
    } catch (error) {
      if (!(error instanceof XmlError)) throw error
      heard.push(error.condition)
    }
  }
  const write = (...pieces: readonly Buffer[]): void => writeAll(pieces)
  return { heard, elements, stanzas, stream, write, writeAll }
}

const bytes = (...parts: readonly (string | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))))
const split = (whole: Buffer, at: number): readonly Buffer[] => [whole.subarray(0, at), whole.subarray(at)]
const singly = (whole: Buffer): readonly Buffer[] => Array.from(whole, (_, k) => whole.subarray(k, k + 1))
const inBody = (...parts: readonly (string | readonly number[])[]): Buffer =>
  bytes('<message><body>', ...parts, '</body></message>')

/** Every conversation must be heard the same wherever it is cut. */
const hearCut = (whole: Buffer): readonly string[] => {
  const uncut = listen()
  uncut.write(whole)
  for (let at = 0; at <= whole.length; at++) {
    const cut = listen()
    cut.write(...split(whole, at))
    expect(cut.heard, `cut at ${at}`).toEqual(uncut.heard)
  }
  const single = listen()
  single.write(...singly(whole))
  expect(single.heard, 'byte by byte').toEqual(uncut.heard)
  return uncut.heard
}
const afterHeader = (whole: Buffer): readonly string[] => hearCut(bytes(HEADER, [...whole])).slice(1)

describe('RFC 6120 §4: a stream is read in order, wherever its bytes are cut', () => {
  test('§4.3: the header, elements, stanzas, keepalives and the end tag', () => {
    const heard = hearCut(
      bytes(
        HEADER,
        " \n<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        `<message xmlns="jabber:client" type='chat' to='romeo@verona.example' id="a'b"><body>Wherefore &amp; art &#x74;hou? näh 😀</body><x xmlns='urn:x'><y/></x></message>`,
        '\n\n<presence/> <iq id="1" type="get" ><query xmlns="jabber:iq:roster"/></iq  >',
        '</stream:stream >and nobody listens',
      ),
    )
    expect(heard).toEqual([
      'open stream {"to":"verona.example","version":"1.0","xml:lang":"en"} jabber:client',
      'element {"ns":"urn:ietf:params:xml:ns:xmpp-tls","name":"starttls","attrs":{},"children":[]}',
      `<message to='romeo@verona.example' id="a'b" type='chat'><body>Wherefore &amp; art &#x74;hou? nÃ¤h ð\u009f\u0098\u0080</body><x xmlns='urn:x'><y/></x></message> {jabber:client}body,{urn:x}x`,
      '<presence/> ',
      '<iq id="1" type="get" ><query xmlns="jabber:iq:roster"/></iq  > {jabber:iq:roster}query',
      'close',
    ])
  })

  test('§4.3.3: after a restart, the rest of the chunk is a new stream, with or without a declaration', () => {
    const heard = hearCut(
      bytes(HEADER, "<restart xmlns='urn:r'/>\n", HEADER, "<presence/><restart xmlns='urn:r'/>", HEADER.slice(21), '<iq/>'),
    )
    expect(heard.map((line) => line.split(' ')[0])).toEqual([
      'open',
      'element',
      'open',
      '<presence/>',
      'element',
      'open',
      '<iq/>',
    ])
  })

  test('a restart between two chunks', () => {
    const { heard, stream, write } = listen()
    write(bytes(HEADER, "<presence/> <stream:stream xmlns:stream='"))
    stream.restart()
    write(bytes(NS_STREAMS, "'><other/>"))
    expect(heard.slice(2)).toEqual(['open stream {} ', 'element {"ns":"","name":"other","attrs":{},"children":[]}'])
  })

  test('nothing is heard after stop', () => {
    expect(hearCut(bytes(HEADER, "<stop xmlns='urn:s'/><presence/></stream:stream><")).length).toBe(2)
  })

  test('§4.8.5: stanzas whose namespace has a prefix are read like any other', () => {
    const heard = hearCut(
      bytes(
        `<s:stream xmlns:s='${NS_STREAMS}' xmlns:c='jabber:client' xmlns='urn:other' xmlns:q='urn:q'>`,
        `<c:message to='a@b'><c:body q:x='1' xml:lang='it'>&lt;ciao&gt;</c:body><other/></c:message><presence/></s:stream>`,
      ),
    )
    expect(heard).toEqual([
      'open stream {} urn:other',
      "<message to='a@b'><body xmlns:ns0='urn:q' ns0:x='1' xml:lang='it'>&lt;ciao&gt;</body><other xmlns='urn:other'/></message> {jabber:client}body,{urn:other}other",
      'element {"ns":"urn:other","name":"presence","attrs":{},"children":[]}',
      'close',
    ])
  })

  test('§4.8.3: prefixes of the header that a stanza uses are declared on its copy', () => {
    const { stanzas, write } = listen()
    write(
      bytes(HEADER.replace('xml:lang', "xmlns:q='urn:q&amp;1' xml:lang"), "<message q:a='1'><q:x><y q:b='2'/></q:x></message>"),
    )
    expect(stanzas[0]?.wire).toBe("<message q:a='1' xmlns:q='urn:q&amp;1'><q:x><y q:b='2'/></q:x></message>")
    expect(stanzas[0]?.get('urn:q&1', 'x')?.getChild('y', NS_CLIENT)?.attrs).toEqual({ '{urn:q&1}b': '2' })
  })

  test('an attribute with a dangerous name is an attribute', () => {
    const { elements, write } = listen()
    write(bytes(HEADER, "<x xmlns='urn:x' __proto__='1' constructor='2'/>"))
    expect(Object.entries(elements[0]?.attrs ?? {})).toEqual([
      ['__proto__', '1'],
      ['constructor', '2'],
    ])
  })
})

const REFUSED: Readonly<Record<string, readonly [string, Buffer]>> = {
  'RFC 6120 §11.1: a DTD': ['restricted-xml', bytes('<!DOCTYPE a [<!ENTITY x "y">]><message/>')],
  'RFC 6120 §11.1: an undefined entity': ['restricted-xml', inBody('&foo;')],
  'RFC 6120 §11.1: an HTML entity': ['restricted-xml', inBody('&nbsp;')],
  'RFC 6120 §11.1: an undefined entity in an attribute': ['restricted-xml', bytes("<message to='&x;'/>")],
  'RFC 6120 §11.1: a comment': ['restricted-xml', inBody('<!-- x -->')],
  'RFC 6120 §11.1: a comment between stanzas': ['restricted-xml', bytes('<!-- x -->')],
  'RFC 6120 §11.1: a processing instruction': ['restricted-xml', inBody('<?php x?>')],
  'RFC 6120 §11.1: a processing instruction between stanzas': ['restricted-xml', bytes('<?php x?>')],
  'XML §2.8: a second XML declaration': ['restricted-xml', bytes("<?xml version='1.0'?>")],
  'XML §2.4: a bare ampersand': ['not-well-formed', inBody('a & b')],
  'XML §4.1: a reference without end': ['not-well-formed', inBody('&amp')],
  'XML §4.1: an empty reference': ['not-well-formed', inBody('&;')],
  'RFC 3629: a lead byte without continuation': ['not-well-formed', inBody([0xc3, 0x28])],
  'RFC 3629: a continuation alone': ['not-well-formed', inBody([0x80])],
  'RFC 3629: an overlong form of two bytes': ['not-well-formed', inBody([0xc0, 0xaf])],
  'RFC 3629: an overlong form of three bytes': ['not-well-formed', inBody([0xe0, 0x80, 0xaf])],
  'RFC 3629: an overlong form of four bytes': ['not-well-formed', inBody([0xf0, 0x80, 0x80, 0xaf])],
  'RFC 3629: a surrogate': ['not-well-formed', inBody([0xed, 0xa0, 0x80])],
  'RFC 3629: above U+10FFFF': ['not-well-formed', inBody([0xf4, 0x90, 0x80, 0x80])],
  'RFC 3629: bad bytes in an attribute': ['not-well-formed', bytes("<message to='", [0xff], "'/>")],
  'RFC 3629: bad bytes in a name': ['not-well-formed', bytes('<message><', [0xc3, 0x28], '/></message>')],
  'RFC 3629: bad bytes in CDATA': ['not-well-formed', inBody('<![CDATA[', [0xc3, 0x28], ']]>')],
  'XML §2.2: U+FFFE': ['not-well-formed', inBody([0xef, 0xbf, 0xbe])],
  'XML §2.2: U+FFFF': ['not-well-formed', inBody([0xef, 0xbf, 0xbf])],
  'XML §2.2: U+FFFF in CDATA': ['not-well-formed', inBody('<![CDATA[', [0xef, 0xbf, 0xbf], ']]>')],
  'XML §2.2: NUL': ['not-well-formed', inBody([0])],
  'XML §2.2: a backspace': ['not-well-formed', inBody([8])],
  'XML §2.2: a control character in CDATA': ['not-well-formed', inBody('<![CDATA[', [1], ']]>')],
  'XML §2.2: a control character in an attribute': ['not-well-formed', bytes("<message to='", [1], "'/>")],
  'XML §2.2: a control character between stanzas': ['not-well-formed', bytes([0])],
  'XML §4.1: &#0;': ['not-well-formed', inBody('&#0;')],
  'XML §4.1: &#x1F;': ['not-well-formed', inBody('&#x1F;')],
  'XML §4.1: &#xD800;': ['not-well-formed', inBody('&#xD800;')],
  'XML §4.1: &#xFFFE;': ['not-well-formed', inBody('&#xFFFE;')],
  'XML §4.1: &#x110000;': ['not-well-formed', inBody('&#x110000;')],
  'XML §4.1: &#X41;': ['not-well-formed', inBody('&#X41;')],
  'XML §3: end tags out of order': ['not-well-formed', bytes('<message><a><b></a></b></message>')],
  'XML §3: an end tag too many': ['not-well-formed', bytes('</message>')],
  'XML §3: an end tag that is a beginning': ['not-well-formed', bytes('<message><body></bod></message>')],
  'XML §3: an end tag that goes on': ['not-well-formed', bytes('<message><body></bodyx></message>')],
  'Namespaces §5: an undeclared prefix of an element': ['not-well-formed', bytes('<message><p:x/></message>')],
  'Namespaces §5: an undeclared prefix, deep down': ['not-well-formed', bytes('<message><a><b><p:x/></b></a></message>')],
  'Namespaces §5: a prefix out of scope': ['not-well-formed', bytes("<message><a xmlns:p='u'/><p:x/></message>")],
  'Namespaces §5: an undeclared prefix of an attribute': ['not-well-formed', bytes("<message><x p:a='1'/></message>")],
  'Namespaces §3: an element xmlns:x': ['not-well-formed', bytes('<message><xmlns:x/></message>')],
  'XML §3.1: an attribute twice': ['not-well-formed', bytes("<message to='a' to='b'/>")],
  'XML §3.1: xmlns twice': ['not-well-formed', bytes("<message><x xmlns='a' xmlns='b'/></message>")],
  'Namespaces §6.3: an attribute twice by its namespace': [
    'not-well-formed',
    bytes("<message><x xmlns:p='u' xmlns:q='u' p:a='1' q:a='2'/></message>"),
  ],
  'XML §3.1: the last of thirty attributes is the first again': [
    'not-well-formed',
    bytes(`<message><x ${Array.from({ length: 30 }, (_, k) => `a${k % 29}='1'`).join(' ')}/></message>`),
  ],
  "Namespaces §2.2: xmlns:p=''": ['not-well-formed', bytes("<message><x xmlns:p=''/></message>")],
  'Namespaces §3: the prefix xml for something else': ['not-well-formed', bytes("<message><x xmlns:xml='urn:x'/></message>")],
  "Namespaces §3: another prefix for xml's namespace": [
    'not-well-formed',
    bytes("<message><x xmlns:x='http://www.w3.org/XML/1998/namespace'/></message>"),
  ],
  "Namespaces §3: xml's namespace as default, written in references": [
    'not-well-formed',
    bytes("<message><x><y xmlns='&#x68;ttp://www.w3.org/XML/1998/namespace'/></x></message>"),
  ],
  'Namespaces §3: the prefix xmlns': ['not-well-formed', bytes("<message><x xmlns:xmlns='urn:x'/></message>")],
  "Namespaces §3: xmlns's namespace as default": [
    'not-well-formed',
    bytes("<message><x xmlns='http://www.w3.org/2000/xmlns/'/></message>"),
  ],
  'XML §3.1: a value without quotes': ['not-well-formed', bytes('<message to=a></message>')],
  'XML §3.1: no space between attributes': ['not-well-formed', bytes("<message to='a'from='b'/>")],
  'XML §3.1: an attribute without value': ['not-well-formed', bytes('<message to/>')],
  'XML §3.1: < in a value': ['not-well-formed', bytes("<message to='a<b'/>")],
  'XML §3.1: a space before the slash only': ['not-well-formed', bytes('<message / >')],
  'XML §2.4: ]]> in text': ['not-well-formed', inBody(']]>')],
  'XML §2.4: ]]]> in text': ['not-well-formed', inBody(']]]>')],
  'XML §2.3: a name that begins with a digit': ['not-well-formed', bytes('<message><1a/></message>')],
  'XML §2.3: × in a name': ['not-well-formed', bytes('<message><a×/></message>')],
  'XML §2.3: · at the beginning of a name': ['not-well-formed', bytes('<message><·a/></message>')],
  'Namespaces §4: two colons in a name': ['not-well-formed', bytes("<message><a:b:c xmlns:a='u'/></message>")],
  'Namespaces §4: a colon at the end': ['not-well-formed', bytes("<message><a: xmlns:a='u'/></message>")],
  'Namespaces §4: a colon at the beginning': ['not-well-formed', bytes('<message><:a/></message>')],
  'Namespaces §4: a local part that begins with a digit': ['not-well-formed', bytes("<message><a:1 xmlns:a='u'/></message>")],
  'XML §2.1: a space before the name': ['not-well-formed', bytes('< message/>')],
  'RFC 6120 §4.4: text between stanzas': ['bad-format', bytes('hello<message/>')],
  'RFC 6120 §4.4: text beyond ASCII between stanzas': ['bad-format', bytes('é')],
  'RFC 6120 §4.4: a reference between stanzas': ['bad-format', bytes('&lt;')],
  'RFC 3629: bad bytes between stanzas': ['not-well-formed', bytes([0xc3, 0x28])],
  'RFC 6120 §4.4: CDATA between stanzas': ['bad-format', bytes('<![CDATA[x]]>')],
  'RFC 6120 §13.12: elements nested without end': [
    'policy-violation',
    bytes('<message>', '<a>'.repeat(40), '</a>'.repeat(40), '</message>'),
  ],
  'RFC 6120 §13.12: attributes without end': [
    'policy-violation',
    bytes(`<message ${Array.from({ length: 50 }, (_, k) => `a${k}='1'`).join(' ')}/>`),
  ],
  'RFC 6120 §13.12: a reference without end': ['policy-violation', inBody(`&#${'0'.repeat(30)}65;`)],
}

const ACCEPTED: Readonly<Record<string, Buffer>> = {
  'the five entities and references': inBody('&amp;&lt;&gt;&quot;&apos;&#65;&#x41;&#x1F600;&#9;'),
  'CDATA with what would be markup': inBody('<![CDATA[a<b & ]] ]> &foo; <!-- -->]]>'),
  'CDATA that ends in brackets': inBody('<![CDATA[]]]]>'),
  'a prefix declared in the stanza': bytes("<message><p:x xmlns:p='urn:p' p:a='1'/></message>"),
  'the same local name in two namespaces': bytes("<message><p:x xmlns:p='u' xmlns:q='v' p:a='1' q:a='2' a='3'/></message>"),
  'the prefix xml declared as what it is': bytes(
    "<message><x xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/></message>",
  ),
  'names beyond ASCII': bytes('<message><näme·1 ä="1"/><名前/><𐀀/></message>'),
  'characters of all lengths': inBody('aé€😀\u{10ffff}\u007f\u0085\ufffd'),
  'the other quote in a value': bytes(`<message to='a"b' id="c'd"/>`),
  '> in a value and in text': bytes("<message id='a>b'><body a='/>'>a > b</body></message>"),
  'brackets in text': inBody(']] ]>] > ]'),
  'line breaks in tags': bytes("<message\n\tid\n=\r\n'1'\t>\n<body\r\n/>\n</message\n>"),
  'an undeclared default namespace': bytes("<message><x xmlns=''><y/></x></message>"),
}

describe('RFC 6120 §11: what may not stand in a stream is refused, wherever it is cut', () => {
  test.each(Object.entries(REFUSED))('%s', (_, [condition, input]) => {
    expect(afterHeader(input)).toEqual([condition])
  })

  test('stanzas before the fault are delivered', () => {
    expect(afterHeader(bytes('<presence/>', [...inBody([0xff])]))).toEqual(['<presence/> ', 'not-well-formed'])
  })

  test.each(Object.entries(ACCEPTED))('but not: %s', (_, input) => {
    expect(afterHeader(input)).toHaveLength(1)
    expect(afterHeader(input)[0]).toContain('<message')
  })
})

describe('RFC 6120 §4.2: what comes before the first stanza', () => {
  const rest = HEADER.slice(21)
  test.each<readonly [string, string, Buffer]>([
    ['XML §2.8: white space before the declaration', 'restricted-xml', bytes(` ${HEADER}`)],
    ['another processing instruction', 'restricted-xml', bytes('<?php x?>', rest)],
    ['a stylesheet', 'restricted-xml', bytes("<?xml-stylesheet href='a'?>", rest)],
    ['a declaration without version', 'not-well-formed', bytes("<?xml encoding='utf-8'?>", rest)],
    ['XML version 2', 'not-well-formed', bytes("<?xml version='2.0'?>", rest)],
    ['a declaration without end', 'not-well-formed', bytes("<?xml version='1.0' ", ' '.repeat(300))],
    ['§11.6: another encoding', 'unsupported-encoding', bytes("<?xml version='1.0' encoding='ISO-8859-1'?>", rest)],
    ['§11.6: UTF-16', 'unsupported-encoding', Buffer.from(`\ufeff${HEADER}`, 'utf16le')],
    ['§11.6: a byte order mark is a character', 'not-well-formed', bytes(`\ufeff${HEADER}`)],
    ['§11.1: billion laughs', 'restricted-xml', bytes('<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a0 "lol">]>', rest)],
    ['something that is not XML', 'not-well-formed', bytes('GET / HTTP/1.1\r\n\r\n')],
    ['another element', 'bad-format', bytes("<message xmlns='jabber:client'/>")],
    ['§4.9.3.10: another namespace', 'invalid-namespace', bytes("<stream:stream xmlns:stream='urn:x'>")],
    ['§4.9.3.10: no namespace', 'invalid-namespace', bytes('<stream>')],
    ['an end tag', 'not-well-formed', bytes('</stream:stream>')],
  ])('%s: %s', (_, condition, input) => {
    expect(hearCut(input)).toEqual([condition])
  })

  test.each([
    ["with single quotes <?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"],
    ['with double quotes <?xml version="1.0" encoding="utf-8"?>'],
    ["with white space behind <?xml version='1.0'?>\n "],
    ['and without any'],
  ])('a declaration %s', (title) => {
    const declaration = title.includes('<') ? title.slice(title.indexOf('<')) : ''
    expect(hearCut(bytes(declaration, rest))).toHaveLength(1)
  })

  test('a stream that ends as it begins', () => {
    expect(hearCut(bytes(rest.replace('>', '/>')))).toEqual([expect.stringMatching(/^open/), 'close'])
  })
})

describe('RFC 6120 §13.12: limits hold before memory is spent', () => {
  const small: XmlLimits = { ...LIMITS, maxStanzaBytes: 200 }
  const stanzaOf = (length: number): Buffer => bytes(`<message>${'x'.repeat(length - 19)}</message>`)

  test('a stanza of exactly the size passes, one byte more does not, wherever it is cut', () => {
    for (const [length, verdict] of [
      [200, true],
      [201, false],
    ] as const) {
      const whole = bytes(HEADER.slice(21), [...stanzaOf(length)], '<presence/>')
      for (let at = 0; at <= whole.length; at++) {
        const { heard, write } = listen('stream', small)
        write(...split(whole, at))
        expect(heard.length).toBe(verdict ? 3 : 2)
        expect(heard[1]).toEqual(verdict ? expect.stringContaining('<message') : 'policy-violation')
      }
    }
  })

  test('what follows in the same chunk does not count', () => {
    const { stanzas, write } = listen('stream', small)
    write(bytes(HEADER.slice(21), [...stanzaOf(150)].slice(0, 100) as number[]))
    write(bytes([...stanzaOf(150)].slice(100) as number[], ...Array.from({ length: 10 }, () => [...stanzaOf(180)])))
    expect(stanzas).toHaveLength(11)
  })

  test('limits that are raised hold from the next byte', () => {
    const { heard, stanzas, stream, write } = listen('stream', small)
    write(bytes(HEADER.slice(21)), stanzaOf(400).subarray(0, 150))
    stream.limits = LIMITS
    write(stanzaOf(400).subarray(150))
    expect([stanzas.length, heard.length]).toEqual([1, 2])
  })

  test('limits that are lowered below what is there', () => {
    const { heard, stream, write } = listen()
    write(bytes(HEADER), stanzaOf(400).subarray(0, 300))
    stream.limits = small
    write(stanzaOf(400).subarray(300, 301))
    expect(heard.slice(1)).toEqual(['policy-violation'])
  })

  test.each<readonly [string, string, (count: number) => string, number]>([
    ['elements', '<message><body>', (count) => `${'<a/>'.repeat(count - 2)}</body></message>`, 20],
    ['payloads', '<message>', (count) => `${'<a/>'.repeat(count)}</message>`, 10],
    [
      'prefixes in force',
      "<message xmlns:a0='u'>",
      (count) => `<a${Array.from({ length: count - 1 }, (_, k) => ` xmlns:p${k}='u'`).join('')}><a0:b/></a></message>`,
      8,
    ],
  ])('many small %s cost more than their bytes', (_, start, rest, most) => {
    const tight: XmlLimits = { ...LIMITS, maxAttributes: 8, maxElements: 20, maxPayloads: 10 }
    for (const [count, verdict] of [
      [most, expect.stringContaining('<message')],
      [most + 1, 'policy-violation'],
    ] as const) {
      const { heard, write } = listen('stream', tight)
      write(bytes(HEADER, start), bytes(rest(count)))
      expect(heard[1]).toEqual(verdict)
    }
  })

  const large: XmlLimits = { maxStanzaBytes: 262_144, maxDepth: 32, maxAttributes: 40, maxElements: 1_000, maxPayloads: 100 }
  test.each<readonly [string, string, (k: number) => string]>([
    ['an attribute without end', "<message to='", () => 'a'],
    ['an attribute full of >', "<message to='", () => '>'],
    ['an attribute full of references', "<message to='", (k) => '&lt;'.charAt(k % 4)],
    ['a tag full of white space', '<message ', () => ' '],
    ['a name without end', '<', () => 'a'],
    ['an end tag without end', '<message></message', () => ' '],
    ['CDATA full of >', '<message><![CDATA[', () => '>'],
    ['CDATA full of ]', '<message><![CDATA[', () => ']'],
    ['children without end', '<message>', (k) => '<a/>'.charAt(k % 4)],
    ['text without end', '<message>', () => 'a'],
  ])('%s, byte by byte, costs time in proportion', (_, start, at) => {
    const spend = (length: number): number => {
      const { heard, writeAll } = listen('stream', { ...large, maxStanzaBytes: length })
      writeAll([bytes(HEADER.slice(21))])
      const before = process.cpuUsage().user
      writeAll([bytes(start), ...Array.from({ length: length - start.length + 1 }, (_, k) => Buffer.from(at(k)))])
      expect(heard.slice(1)).toEqual(['policy-violation'])
      return process.cpuUsage().user - before
    }
    spend(8_192)
    // 32 times the bytes; were the time quadratic, it would be a thousand times as long and last minutes.
    expect(spend(262_144)).toBeLessThan(2_000_000)
  })

  test('the bytes of 64 MB in one tag are neither kept nor looked at', () => {
    const { heard, write } = listen('stream', large)
    write(bytes(HEADER.slice(21), "<message to='"))
    const chunk = Buffer.alloc(4096, 0x61)
    write(...Array.from({ length: 100 }, () => chunk))
    expect(heard.slice(1)).toEqual(['policy-violation'])
  })

  test('a stream that waits holds next to nothing', () => {
    const handler = { onOpen: () => {}, onStanza: () => {}, onElement: () => {}, onClose: () => {} }
    const make = (): XmlStream => {
      const stream = new XmlStream(handler, LIMITS, 'stream')
      for (const piece of split(bytes(HEADER, '<presence><show>away</show></presence>'), 180)) stream.write(piece)
      return stream
    }
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const bytesHeld = (): number => {
      collect()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      return heapUsed + arrayBuffers
    }
    const count = 5000
    const kept: XmlStream[] = Array.from({ length: 2 * count }, make)
    kept.length = count
    const growth = (): number => {
      const before = bytesHeld()
      kept.push(...Array.from({ length: count }, make))
      return (bytesHeld() - before) / count
    }
    // What is compiled meanwhile counts, too, but not every time.
    expect(Math.min(growth(), growth(), growth())).toBeLessThan(400)
    expect(kept).toHaveLength(4 * count)
  })
})

describe('RFC 7395 §3.3: a frame is one whole element', () => {
  const hear = (...frames: readonly (string | Buffer)[]): readonly string[] => {
    const { heard, write } = listen('frames')
    write(...frames.map((frame) => Buffer.from(frame)))
    return heard
  }

  test('§3.3.2: open and close are elements, stanzas declare their namespace', () => {
    expect(
      hear(
        "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='verona.example' version='1.0'/>",
        "<?xml version='1.0'?>\n<message xmlns='jabber:client' to='a@b'><body>hi</body></message>\n",
        '<message/>',
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>",
        "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
      ),
    ).toEqual([
      'element {"ns":"urn:ietf:params:xml:ns:xmpp-framing","name":"open","attrs":{"to":"verona.example","version":"1.0"},"children":[]}',
      "<message to='a@b'><body>hi</body></message> {jabber:client}body",
      'element {"ns":"","name":"message","attrs":{},"children":[]}',
      'element {"ns":"http://etherx.jabber.org/streams","name":"features","attrs":{},"children":[]}',
      'element {"ns":"urn:ietf:params:xml:ns:xmpp-framing","name":"close","attrs":{},"children":[]}',
    ])
  })

  test('a restart changes nothing', () => {
    expect(hear("<restart xmlns='urn:r'/>", "<presence xmlns='jabber:client'/>")).toHaveLength(2)
  })

  test.each([
    ['nothing', '', 'not-well-formed'],
    ['a space', ' ', 'not-well-formed'],
    ['a space before', " <presence xmlns='jabber:client'/>", 'not-well-formed'],
    ['half an element', "<presence xmlns='jabber:client'>", 'not-well-formed'],
    ['half a tag', '<presence', 'not-well-formed'],
    ['half a declaration', "<?xml version='1.0'", 'not-well-formed'],
    ['a declaration alone', "<?xml version='1.0'?>", 'not-well-formed'],
    ['two elements', '<a/><b/>', 'not-well-formed'],
    ['text behind', '<a/>b', 'not-well-formed'],
    ['an end tag', '</a>', 'not-well-formed'],
    ['a stream header', HEADER, 'not-well-formed'],
    ['a prefix of another frame', '<stream:features/>', 'not-well-formed'],
    ['a comment', '<!-- a -->', 'restricted-xml'],
    ['a processing instruction', '<?php x?>', 'restricted-xml'],
    ['a frame that is too large', `<a>${'x'.repeat(10_000)}</a>`, 'policy-violation'],
  ])('%s is refused', (_, frame, condition) => {
    expect(hear(frame)).toEqual([condition])
  })
})

describe('parseElement', () => {
  test('XML §3.3.3 and §2.11: values and text are normalised, CDATA joins text', () => {
    const element = parseElement(wire("<a b='x\n\ty&#10;z'>1\r\n2\r3&#13;<![CDATA[&amp;\r\n]]>4<c/>5</a>"))
    expect(element.attrs).toEqual({ b: 'x  y\nz' })
    expect(element.children).toEqual(['1\n2\n3\r&amp;\n4', expect.objectContaining({ name: 'c' }), '5'])
  })

  test.each(['', 'x', '<a>', '<a/><b/>', '<a/> ', '</a>'])('%j is not one element', (text) => {
    expect(() => parseElement(wire(text))).toThrow(XmlError)
  })
})
