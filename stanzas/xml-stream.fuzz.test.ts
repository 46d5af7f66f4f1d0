import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { parse as parseLtx } from 'ltx'
import { SaxesParser } from 'saxes'
import { expect, test } from 'vitest'
import { Element, type Node } from './element.ts'
import { type Address, addressOf } from './jid.ts'
import { NS_CLIENT, NS_STREAMS } from './namespaces.ts'
import { serialize } from './serialize.ts'
import type { Payload, Stanza } from './stanza.ts'
import { wire } from './wire.ts'
import { parseElement, XmlError, XmlStream } from './xml-stream.ts'

/*
 * Strangers judge: saxes, with namespaces, reads the same mutated streams. What we accept it must accept, and read as the same trees; every restamped
 * copy must be read back as meant; what we call not well-formed it must refuse as well. Where bytes are cut must not matter.
 */

const SEED = 20_261_122
const RUNS = 4_000

const PLAIN_HEADER = `<stream:stream xmlns='jabber:client' xmlns:stream='${NS_STREAMS}'>`
const HEADER = PLAIN_HEADER.replace('>', " xmlns:q='urn:q&amp;'>")
/** Ends whatever reference, tag, value or text is open, so that nothing stays undecided. */
const ENDING = `;>'>">'>">`

const SAMPLES = [
  `<message xmlns="jabber:client" type="chat" to="user1@example.org" id="0a1b2c3d"><body>the &amp; naïve 😀</body><request xmlns="urn:xmpp:receipts"/><origin-id xmlns="urn:xmpp:sid:0" id="x"/><active xmlns="http://jabber.org/protocol/chatstates"/></message>`,
  `<presence id='1'><show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='a='/><x xmlns='vcard-temp:x:update'><photo/></x></presence>`,
  `<iq type='get' id='a1'><query xmlns='jabber:iq:roster' ver='1'/></iq>`,
  `<message xmlns:p='urn:p'><p:x p:y='1' y='2'><![CDATA[a<b]]>&#65;&amp;</p:x><stanza-id xmlns='urn:xmpp:sid:0'/></message>`,
  `<iq type='get' id="a'b"><query xmlns='urn:q'><q:a q:b='1'/></query></iq>`,
  `<message q:z='1'><q:x><a xmlns='' b='1' xml:lang='de'/> ]] &gt; <q:y/>\t\r\n</q:x ></message>`,
  `<message><a xmlns='urn:a' xmlns:q='urn:other'><q:b q:c='&#9;\n'/><b/></a><body>é</body><body/></message>`,
  `<c:message xmlns:c='jabber:client' to='a@b'><c:body>hi</c:body><d/></c:message>`,
  `<näme xmlns='urn:n' ö='ü'/>`,
]
const BITS: readonly (string | readonly number[])[] = [
  ...[
    '<',
    '>',
    '/',
    "'",
    '"',
    '&',
    ';',
    '=',
    ':',
    ' ',
    '\t',
    '\r\n',
    '\0',
    '\v',
    'é',
    '\ufffe',
    '\ufffd',
    '𐀀',
    '×',
    '·',
    ']]>',
    ']',
    '-',
    '1',
  ],
  ...[
    '&#0;',
    '&#x41;',
    '&#xD800;',
    '&lt;',
    '&nbsp;',
    '<!--',
    '-->',
    '<![CDATA[',
    '<?x?>',
    '<!DOCTYPE a>',
    "<?xml version='1.0'?>",
  ],
  ...[
    " xmlns='u'",
    " xmlns='jabber:client'",
    " xmlns=''",
    " xmlns:p='u'",
    " xmlns:q=''",
    " xmlns:xml='u'",
    " xmlns:xmlns='u'",
    " xml:id='1'",
    'p:',
    'q:',
    'xml:',
    'xmlns:',
  ],
  ...[
    " a='1'",
    " q:a='1'",
    " b='>'",
    " to='x@y/z'",
    " from='\"'",
    '<a>',
    '</a>',
    '<a/>',
    '<p:a/>',
    '<q:a/>',
    '<1/>',
    '</message>',
    '</iq>',
    '<message>',
    '<presence/>',
  ],
  [0xc3],
  [0xa9],
  [0xed, 0xa0, 0x80],
  [0xc0, 0xaf],
  [0xff],
]

type Mutation = readonly [place: number, kind: 'cut' | 'insert' | 'change' | 'repeat', pick: number]
const mutate = (input: Buffer, [place, kind, pick]: Mutation): Buffer => {
  const at = place % (input.length + 1)
  const [before, after] = [input.subarray(0, at), input.subarray(at)]
  switch (kind) {
    case 'cut':
      return Buffer.concat([before, after.subarray(1 + (pick % 6))])
    case 'insert':
      return Buffer.concat([before, Buffer.from(BITS[pick % BITS.length] as string), after])
    case 'change':
      return Buffer.concat([before, Buffer.from([pick % 256]), after.subarray(1)])
    case 'repeat':
      return Buffer.concat([before, input.subarray(pick % (input.length + 1)).subarray(0, 20), after])
  }
}

const mutation = fc.tuple(fc.nat(1000), fc.constantFrom('cut', 'insert', 'insert', 'change', 'repeat'), fc.nat(10_000))
const stream = fc
  .tuple(
    fc.array(fc.constantFrom(...SAMPLES), { minLength: 1, maxLength: 3 }),
    fc.array(mutation as fc.Arbitrary<Mutation>, { maxLength: 3 }),
  )
  .map(([samples, mutations]) => {
    const whole = Buffer.concat([
      Buffer.from(HEADER),
      mutations.reduce(mutate, Buffer.from(samples.join(''))),
      Buffer.from(ENDING),
    ])
    return Object.assign(whole, { [fc.toStringMethod]: () => JSON.stringify(whole.toString('latin1')) })
  })

interface Reading {
  readonly items: readonly (Stanza | Element)[]
  readonly condition: string | undefined
}

const read = (pieces: readonly Buffer[]): Reading => {
  const items: (Stanza | Element)[] = []
  const keep = (item: Stanza | Element): void => void items.push(item)
  const handler = { onOpen: () => {}, onStanza: keep, onElement: keep, onClose: () => {} }
  const reader = new XmlStream(
    handler,
    { maxStanzaBytes: 100_000, maxDepth: 50, maxAttributes: 50, maxElements: 5_000, maxPayloads: 1_000 },
    'stream',
  )
  try {
    for (const piece of pieces) reader.write(piece)
  } catch (error) {
    if (!(error instanceof XmlError)) throw error
    return { items, condition: error.condition }
  }
  return { items, condition: undefined }
}

const treeOf = (item: Stanza | Element): Element => (item instanceof Element ? item : parseElement(item.selfContained))

/** What saxes makes of a stream: its first-level elements before the first fault, and the fault. */
const readBySaxes = (text: string): { readonly trees: readonly Element[]; readonly fault: string | undefined } => {
  const parser = new SaxesParser({ xmlns: true })
  const trees: Element[] = []
  const open: { readonly element: Element; readonly children: Node[] }[] = []
  let fault: string | undefined
  const onText = (added: string): void => {
    const siblings = open.at(-1)?.children
    if (siblings === undefined || added === '') return
    if (typeof siblings.at(-1) === 'string') siblings.push(`${siblings.pop() as string}${added}`)
    else siblings.push(added)
  }
  parser.on('error', (error) => {
    fault ??= error.message
  })
  parser.on('opentag', (tag) => {
    const attrs: Record<string, string> = {}
    for (const { uri, local, prefix, name, value } of Object.values(tag.attributes)) {
      if (prefix === 'xmlns' || name === 'xmlns') continue
      attrs[prefix === '' || name === 'xml:lang' ? name : `{${uri}}${local}`] = value
    }
    const children: Node[] = []
    const element = new Element(tag.uri, tag.local, attrs, children)
    open.at(-1)?.children.push(element)
    open.push({ element, children })
  })
  parser.on('text', onText)
  parser.on('cdata', onText)
  parser.on('closetag', () => {
    const closed = open.pop()
    if (open.length === 1 && fault === undefined && closed !== undefined) trees.push(closed.element)
  })
  try {
    parser.write(text)
  } catch (error) {
    fault ??= String(error)
  }
  return { trees, fault }
}

const address = (text: string): Address => addressOf(wire(text)) ?? expect.fail(text)
const FROM = address('juliet@capulet.example/balcony')
const TO = address('romeo@montague.example/d&apos;or&amp;chard')
const isStanzaId = ({ ns, name }: Payload): boolean => ns === 'urn:xmpp:sid:0' && name === 'stanza-id'
const APPENDED = new Element('urn:xmpp:sid:0', 'stanza-id', { id: '1' }, [])

/** The same change made to a tree. */
const restamped = (tree: Element): Element => {
  const kept = tree.children.filter((node) => typeof node === 'string' || !isStanzaId(node))
  return new Element(tree.ns, tree.name, { ...tree.attrs, from: FROM.jid, to: TO.jid }, joined([...kept, APPENDED]))
}
const joined = (nodes: readonly Node[]): readonly Node[] => {
  const result: Node[] = []
  for (const node of nodes) {
    if (typeof node === 'string' && typeof result.at(-1) === 'string') result.push(`${result.pop() as string}${node}`)
    else result.push(node)
  }
  return result
}

/** saxes trims namespace names, which no specification asks for. */
const isTrimmed = (tree: Element): boolean =>
  tree.ns === tree.ns.trim() &&
  Object.keys(tree.attrs).every((key) => !/^\{(?:\s|[^}]*\s\})/.test(key)) &&
  tree.getChildren().every(isTrimmed)

/** What the oracle cannot see: bytes that are not UTF-8 reach it as U+FFFD, and it lets a local part begin with any name character. */
const isOverlooked = (whole: Buffer): boolean => !isUtf8(whole) || /:[-.\d·]/.test(whole.toString('utf8'))

const judge = (whole: Buffer): void => {
  const { items, condition } = read([whole])
  fc.pre(items.every((item) => isTrimmed(treeOf(item))))
  const oracle = readBySaxes(whole.toString('utf8'))

  // Nothing is accepted that the oracle refuses, and all of it says the same.
  expect(items.map(treeOf)).toEqual(oracle.trees.slice(0, items.length))
  if (condition === undefined) expect(oracle.fault).toBeUndefined()
  if (condition === 'not-well-formed' && !isOverlooked(whole)) expect(oracle.fault).toBeDefined()

  for (const [k, item] of items.entries()) {
    if (item instanceof Element) continue
    const tree = oracle.trees[k] ?? expect.fail()
    expect(isUtf8(Buffer.from(item.wire, 'latin1'))).toBe(true)
    expect(item.elements()).toEqual(tree.children.filter((node) => typeof node !== 'string'))
    expect(item.payloads.map(({ ns, name }) => [ns, name])).toEqual(item.elements().map(({ ns, name }) => [ns, name]))
    expect(item.id).toBe(tree.attrs.id)
    expect(item.type).toBe(tree.attrs.type)
    expect(item.lang).toBe(tree.attrs['xml:lang'])
    expect(item.text(NS_CLIENT, 'body')).toBe(tree.getChildText('body'))
    judgeCopy(item.restamp({ from: FROM, to: TO, drop: isStanzaId, append: APPENDED }), tree)
  }
}

/** A copy goes to a stream that declares nothing of the first one's. */
const judgeCopy = (copy: Stanza, original: Element): void => {
  for (const variant of [copy, copy.detach()]) {
    const text = Buffer.from(variant.wire, 'latin1').toString('utf8')
    const { trees, fault } = readBySaxes(PLAIN_HEADER + text)
    expect(fault).toBeUndefined()
    expect(trees).toEqual([restamped(original)])
    expect(read([Buffer.from(PLAIN_HEADER + text)]).items.map(treeOf)).toEqual(trees)
    expect(variant.payloads).toHaveLength(restamped(original).getChildren().length)
    const ltx = parseLtx(text)
    expect([ltx.name, ltx.attrs.from, ltx.attrs.to]).toEqual([copy.kind, FROM.jid, TO.jid])
    expect(ltx.getChildElements()).toHaveLength(variant.payloads.length)
  }
}

test('RFC 6120 §11: strangers read the same in mutated streams', () => {
  fc.assert(fc.property(stream, judge), { seed: SEED, numRuns: RUNS })
})

test('RFC 6120 §4: where the bytes are cut does not matter', () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 60 })), {
    minLength: 1,
    maxLength: 20,
  })
  const isSame = (whole: Buffer, cuts: readonly number[]): void => {
    const pieces: Buffer[] = []
    for (let at = 0, k = 0; at < whole.length; k++) {
      const length = cuts[k % cuts.length] ?? 1
      pieces.push(whole.subarray(at, at + length))
      at += length
    }
    const [uncut, cut] = [read([whole]), read(pieces)]
    expect(cut.condition).toBe(uncut.condition)
    expect(cut.items.map(treeOf)).toEqual(uncut.items.map(treeOf))
  }
  fc.assert(fc.property(stream, lengths, isSame), { seed: SEED, numRuns: RUNS })
})

test('what serialize writes, strangers and parseElement read back', () => {
  const name = fc.stringMatching(/^[a-z_é][-.a-z0-9·]{0,5}$/)
  const text = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 8 })
    .map((raw) => raw.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '-'))
  const ns = fc.constantFrom('', 'urn:a', NS_CLIENT, "urn:b&'<")
  const key = fc.oneof(
    name,
    fc.constant('xml:lang'),
    fc.tuple(fc.constantFrom('urn:p', 'urn:q<'), name).map(([uri, local]) => `{${uri}}${local}`),
  )
  const { element } = fc.letrec<{ element: Element; node: Node }>((tie) => ({
    element: fc
      .tuple(ns, name, fc.dictionary(key, text, { maxKeys: 3, noNullPrototype: true }), fc.array(tie('node'), { maxLength: 3 }))
      .map(([uri, local, attrs, nodes]) => new Element(uri, local, attrs, joined(nodes))),
    node: fc.oneof({ depthSize: 'small' }, text, tie('element')),
  }))
  const isReadBack = (written: Element): void => {
    expect(parseElement(serialize(written, ''))).toEqual(written)
    const { trees, fault } = readBySaxes(
      `${PLAIN_HEADER}${Buffer.from(serialize(written, NS_CLIENT), 'latin1').toString('utf8')}`,
    )
    expect(fault).toBeUndefined()
    expect(trees).toEqual([written])
  }
  fc.assert(fc.property(element, isReadBack), { seed: SEED, numRuns: 500 })
})
