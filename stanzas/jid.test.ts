import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressOf, bareOf, isFull, makeJid, parseJid, withResource } from './jid.ts'
import { escapeAttribute, toWire, wire } from './wire.ts'

/**
 * Where slixmpp 1.17.0, which prepares by stringprep (RFC 6122), comes to another verdict, and why.
 * A row of the corpus is a text and slixmpp's JID (null: refused); where ours differs, ours and one of these reasons follow.
 */
const REASONS: Readonly<Record<string, string>> = {
  case: 'RFC 8265 §3.3.2 lower-cases where nodeprep folds, so ß and ς stay what they are',
  compatibility:
    'RFC 8264 §9.17: compatibility characters are refused in identifiers and kept in resourceparts; stringprep replaces them by NFKC',
  symbols: 'RFC 8264 §4.2: the IdentifierClass has no symbols, punctuation or titlecase letters beyond ASCII',
  ignorable: 'RFC 8264 §9.13: default ignorable code points are refused, stringprep drops them',
  joiners: 'RFC 5892 A.1, A.2: joiners stay where their rule allows them, stringprep drops them',
  context: 'RFC 5892 A.2–A.7: code points with a rule are refused outside their context',
  exceptions: 'RFC 8264 §9.6, §9.9: disallowed by name, or old Hangul Jamo',
  newer: 'RFC 8264 §1: assigned, or given a case, after the Unicode 3.2 of stringprep',
  bidi: 'RFC 5893 §2: the Bidi Rule lets right-to-left text end in a digit or a mark, and OpaqueString has no such rule',
  specials: 'RFC 8264 §4.3: symbols of the FreeformClass that stringprep prohibits by table',
  dots: 'RFC 7622 §3.2, RFC 5895 §2.4: a final dot is stripped, an ideographic one separates labels',
  ipv6: 'one address, one form: RFC 5952 §4',
  'u-labels': 'RFC 7622 §3.2.1: A-labels are converted to U-labels',
  ldh: 'RFC 7622 §3.2.1: labels consist of letters, digits and hyphens',
}

type Row = readonly [text: string, theirs: string | null, ours?: string | null, reason?: string]
const corpus: readonly Row[] = JSON.parse(readFileSync(new URL('jid.corpus.json', import.meta.url), 'utf8'))

describe('RFC 7622 §3.5 table 1', () => {
  test.each([
    ['juliet@example.com', 'juliet', 'example.com', ''],
    ['juliet@example.com/foo', 'juliet', 'example.com', 'foo'],
    ['juliet@example.com/foo bar', 'juliet', 'example.com', 'foo bar'],
    ['juliet@example.com/foo@bar', 'juliet', 'example.com', 'foo@bar'],
    ['foo\\20bar@example.com', 'foo\\20bar', 'example.com', ''],
    ['fussball@example.com', 'fussball', 'example.com', ''],
    ['fußball@example.com', 'fußball', 'example.com', ''],
    ['π@example.com', 'π', 'example.com', ''],
    ['Σ@example.com/foo', 'σ', 'example.com', 'foo'],
    ['σ@example.com/foo', 'σ', 'example.com', 'foo'],
    ['ς@example.com/foo', 'ς', 'example.com', 'foo'],
    ['king@example.com/♚', 'king', 'example.com', '♚'],
    ['example.com', '', 'example.com', ''],
    ['example.com/foobar', '', 'example.com', 'foobar'],
    ['a.example.com/b@example.net', '', 'a.example.com', 'b@example.net'],
  ])('%s is a JID', (text, localpart, domainpart, resourcepart) => {
    expect(parseJid(text)).toMatchObject({ localpart, domainpart, resourcepart })
  })
})

describe('RFC 7622 §3.5 table 2', () => {
  test.each([
    '"juliet"@example.com',
    'foo bar@example.com',
    '@example.com/',
    'henryⅣ@example.com',
    '♚@example.com',
    'juliet@',
    '/foobar',
  ])('%s is no JID', (text) => {
    expect(parseJid(text)).toBeUndefined()
  })

  test('erratum 4560: a leading space in a resourcepart is allowed, since OpaqueString allows it', () => {
    expect(parseJid('juliet@example.com/ foo')?.resourcepart).toBe(' foo')
  })
})

describe('beside slixmpp', () => {
  test('every text of the corpus gets the JID noted there', () => {
    expect(corpus.length).toBeGreaterThan(600)
    const wrong = corpus.filter(([text, theirs, ours = theirs]) => (parseJid(text)?.jid ?? null) !== ours)
    expect(wrong).toEqual([])
  })

  test('every difference has its reason', () => {
    const unexplained = corpus.filter(([, theirs, ours = theirs, reason]) => (ours === theirs) !== (reason === undefined))
    expect(unexplained).toEqual([])
    expect(new Set(corpus.flatMap(([, , , reason]) => reason ?? []))).toEqual(new Set(Object.keys(REASONS)))
  })
})

describe('domainparts', () => {
  test.each([
    ['RFC 7622 §3.2: the final dot is stripped', 'Example.COM.', 'example.com'],
    ['RFC 7622 §3.2.1: an A-label becomes a U-label', 'xn--mnchen-3ya.de', 'münchen.de'],
    ['RFC 7622 §3.2.2: case, width and normalisation', 'MU\u0308ＮCHEN.de', 'münchen.de'],
    ['RFC 7622 §3.2: an IPv6 address in brackets', '[2001:DB8::1]', '[2001:db8::1]'],
    ['RFC 7622 §3.2: an IPv4 address', '192.0.2.1', '192.0.2.1'],
    ['RFC 5893 §2: a right-to-left label', 'דוגמה.com', 'דוגמה.com'],
  ])('%s', (_, raw, domainpart) => {
    expect(parseJid(`juliet@${raw}`)?.domainpart).toBe(domainpart)
  })

  test.each([
    ['two dots', 'a..b'],
    ['two final dots', 'a..'],
    ['a dot in front', '.a'],
    ['nothing but a dot', '.'],
    ['an A-label that encodes nothing', 'xn--zz.de'],
    ['an A-label that encodes ASCII', 'xn--abc-.de'],
    ['an A-label not in its own form', 'xn--Mnchen-3yA.de-'],
    ['a reserved label (RFC 5890 §2.3.1)', 'ab--cd.com'],
    ['a hyphen in front', '-a.com'],
    ['a hyphen at the end', 'a-.com'],
    ['an underscore', 'a_b.com'],
    ['a percent escape', 'ex%61mple.com'],
    ['a port', 'example.com:5222'],
    ['a zone', '[fe80::1%25eth0]'],
    ['brackets around IPv4', '[192.0.2.1]'],
    ['a symbol (RFC 5892 §2)', '☃.net'],
    ['a combining mark in front (RFC 5891 §4.2.3.2)', '\u0301a.com'],
    ['mixed directions (RFC 5893 §2)', 'אa.com'],
    ['a left-to-right label that breaks the rule beside a right-to-left one', '1a.דוגמה'],
    ['a label of 64 characters', `${'a'.repeat(64)}.com`],
    ['a U-label of 64 characters in ASCII', `${'ü'.repeat(60)}.com`],
    ['254 characters', `${'a'.repeat(62)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}`],
  ])('%s is refused', (_, raw) => {
    expect(parseJid(`juliet@${raw}`)).toBeUndefined()
    expect(addressOf(escapeAttribute(raw))).toBeUndefined()
  })

  test('a label of 63 and a domain of 253 characters pass', () => {
    const longest = `${'a'.repeat(61)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}`
    expect(parseJid(longest)?.domainpart).toBe(longest)
    expect(parseJid(longest.toUpperCase())?.domainpart).toBe(longest)
  })
})

describe('limits', () => {
  test.each([
    ['x'.repeat(1023), 'x'.repeat(1024)],
    ['ü'.repeat(511), 'ü'.repeat(512)],
  ])('RFC 7622 §3.3, §3.4: parts end at 1023 bytes', (fitting, excessive) => {
    expect(parseJid(`${fitting}@example.com`)).toBeDefined()
    expect(parseJid(`${excessive}@example.com`)).toBeUndefined()
    expect(parseJid(`example.com/${fitting}`)).toBeDefined()
    expect(parseJid(`example.com/${excessive}`)).toBeUndefined()
  })

  test('RFC 7622 §3.4: the limit is of what is prepared', () => {
    expect(parseJid(`example.com/${'e\u0301'.repeat(511)}`)?.resourcepart).toBe('é'.repeat(511))
  })

  test('RFC 7622 §3.3, §3.4: what preparation cannot make fit is refused before it sorts the marks', () => {
    const marks = '\u0301\u0323'.repeat(6_000)
    const beganMs = performance.now()
    for (let k = 0; k < 50; k++) {
      expect(parseJid(`e${marks}${k}@example.com`)).toBeUndefined()
      expect(parseJid(`example.com/e${marks}${k}`)).toBeUndefined()
    }
    // Sorting them takes 30 ms each time.
    expect(performance.now() - beganMs).toBeLessThan(1_000)
  })

  test('a megabyte is refused without being looked at', () => {
    expect(parseJid(`${'ü'.repeat(500_000)}@example.com`)).toBeUndefined()
    expect(addressOf(wire('x'.repeat(1_000_000)))).toBeUndefined()
  })
})

describe('addresses', () => {
  test('a full JID knows its bare one', () => {
    const full = parseJid('Juliet@Example.com/Balcony')
    expect(full).toMatchObject({
      jid: 'juliet@example.com/Balcony',
      bare: 'juliet@example.com',
      wire: 'juliet@example.com/Balcony',
    })
    expect(full?.bareAddress).toMatchObject({ jid: 'juliet@example.com', resourcepart: '', bareWire: 'juliet@example.com' })
    expect(full?.bareAddress.bareAddress).toBe(full?.bareAddress)
    expect(full === undefined ? '' : bareOf(full.jid)).toBe('juliet@example.com')
    expect(full !== undefined && isFull(full.jid) && !isFull(full.bare)).toBe(true)
  })

  test('RFC 7622 §3.3.1: an excluded character stays out though width mapping hides it', () => {
    expect(parseJid('a＠b@example.com')).toBeUndefined()
    expect(makeJid('a/b', 'example.com')).toBeUndefined()
  })

  test('a resourcepart is prepared and replaces another', () => {
    const full = parseJid('juliet@example.com/balcony')
    if (full === undefined) throw new Error('no JID')
    expect(withResource(full, 'A\u030a <"&\'>')?.jid).toBe('juliet@example.com/Å <"&\'>')
    expect(withResource(full, '')).toBeUndefined()
    expect(withResource(full, 'a\tb')).toBeUndefined()
  })

  test('wire text holds the JID as an attribute has it', () => {
    expect(makeJid('ромео', 'münchen.de', '<a> & "b"')?.wire).toBe(toWire('ромео@münchen.de/&lt;a&gt; &amp; &quot;b&quot;'))
  })

  test('a raw attribute value is decoded before it is prepared', () => {
    expect(addressOf(wire('juliet@example.com/&lt;&#x41;&amp;&apos;&#66;'))?.resourcepart).toBe("<A&'B")
    expect(addressOf(toWire('Ромео@example.com'))?.jid).toBe('ромео@example.com')
    expect(addressOf(wire('&#34;juliet@example.com'))).toBeUndefined()
    expect(addressOf(wire('juliet@example.com/a\tb'))?.resourcepart).toBe('a b')
    expect(addressOf(wire('juliet@example.com/a&#9;b'))).toBeUndefined()
  })

  test('the same attribute value gives the same address, and resources share the bare one', () => {
    const balcony = addressOf(wire('juliet@example.com/balcony'))
    expect(addressOf(wire('juliet@example.com/balcony'))).toBe(balcony)
    expect(addressOf(wire('juliet@example.com/garden'))?.bareAddress).toBe(balcony?.bareAddress)
    expect(addressOf(wire('juliet@example.com'))).toBe(balcony?.bareAddress)
  })

  test('many addresses later they are still right', () => {
    for (let n = 0; n < 50_000; n++) {
      const text = `u${n % 20_000}@example.com/r`
      if (addressOf(wire(text))?.jid !== text) throw new Error(text)
    }
  })
})

describe('any text', () => {
  const unit = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    fc.constantFrom('@', '/', '.', 'a', 'xn--', 'A', ' ', '[', ']', ':'),
  )
  const anyText = fc.array(unit, { maxLength: 8 }).map((parts) => parts.join(''))

  test('RFC 7622 §3: a prepared JID is a JID that stays as it is, from text and from the wire', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const address = parseJid(text)
        if (address === undefined) return
        expect(parseJid(address.jid)).toEqual(address)
        expect(addressOf(address.wire)).toEqual(address)
        expect(makeJid(address.localpart, address.domainpart, address.resourcepart)).toEqual(address)
      }),
      { numRuns: 2_000 },
    )
  })

  test('the short way for plain ASCII agrees with the long way', () => {
    const unit = fc.constantFrom(...'aZ09-_.!#$%()*+,;=?[\\]^`{|}~@/ :<>&\'"xn')
    fc.assert(
      fc.property(
        fc.string({ unit, maxLength: 12 }),
        fc.string({ unit, maxLength: 12 }),
        fc.string({ unit, maxLength: 12 }),
        (local, domain, resource) => {
          if (/[@/]/.test(local + domain)) return
          const text = `${local === '' ? '' : `${local}@`}${domain}${resource === '' ? '' : `/${resource}`}`
          expect(parseJid(text)).toEqual(makeJid(local, domain, resource))
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
