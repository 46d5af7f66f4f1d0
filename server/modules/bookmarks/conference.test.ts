import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import { serialize } from '#stanzas/serialize.ts'
import { type Bookmark, isSame, merged, NS_BOOKMARKS, NS_STORAGE, readStorage, toEntry, toStorage } from './conference.ts'

const ROOM = 'room@conference.verona.example'
const NAMES = ['nick', 'password', 'extensions', 'conference', 'url', 'minimize', 'notify']
const NAMESPACES = [NS_BOOKMARKS, NS_STORAGE, 'urn:gajim', 'urn:xmpp:notification-settings:1']
const VALUES = ['true', '1', 'false', '0', 'maybe', '', ' ', '<&>\'"']

const attributes = fc.dictionary(fc.constantFrom('name', 'autojoin', 'jid', 'colour'), fc.constantFrom(...VALUES), { maxKeys: 4 })
const text = fc.constantFrom('JC', ' ', '\n', '<&>')
const child = (depth: number): fc.Arbitrary<Element> =>
  fc
    .tuple(
      fc.constantFrom(...NAMESPACES),
      fc.constantFrom(...NAMES),
      attributes,
      fc.array(depth === 0 ? text : fc.oneof(text, child(depth - 1)), { maxLength: 3 }),
    )
    .map(([ns, name, attrs, children]) => el(ns, name, attrs, ...children))
/** As it is read from a store or a wire, where texts side by side are one. */
const conference = (ns: string): fc.Arbitrary<Element> =>
  fc
    .tuple(attributes, fc.array(fc.oneof(text, child(2)), { maxLength: 5 }))
    .map(([attrs, children]) => parseElement(serialize(el(ns, 'conference', attrs, ...children), '')))
const bookmark = conference(NS_BOOKMARKS).map((element): Bookmark => ({ id: ROOM, conference: element }))
const runs = { seed: 402, numRuns: 2_000 }

test('XEP-0402 §5.3.2: an entry that is written as it was read changes nothing', () => {
  fc.assert(
    fc.property(bookmark, (kept) => {
      const list = readStorage(parseElement(serialize(toStorage([kept], []), '')))
      const [entry] = [...(list?.conferences.values() ?? [])]
      expect(list?.others).toEqual([])
      expect(entry !== undefined && isSame(kept, merged(kept.conference, entry))).toBe(true)
    }),
    runs,
  )
})

test('XEP-0402 §3.4: an entry that says nothing of extensions takes none away, and what an entry says is said', () => {
  const texts = (element: Element): readonly string[] =>
    (element.getChild('extensions')?.getChildren() ?? []).map((each) => serialize(each, ''))
  fc.assert(
    fc.property(bookmark, attributes, fc.option(text, { nil: undefined }), (kept, attrs, nick) => {
      const entry = el(
        NS_STORAGE,
        'conference',
        { ...attrs, jid: ROOM },
        nick === undefined ? undefined : el(NS_STORAGE, 'nick', {}, nick),
      )
      const result = merged(kept.conference, entry)
      expect(texts(result)).toEqual(texts(kept.conference))
      const shown = toEntry({ id: ROOM, conference: result })
      expect(shown.attrs.name).toBe(attrs.name)
      expect(shown.getChildText('nick')).toBe(nick)
      expect(['true', '1'].includes(shown.attrs.autojoin ?? '')).toBe(['true', '1'].includes(attrs.autojoin ?? ''))
    }),
    runs,
  )
})

test('XEP-0402 §2: whatever an old client writes becomes one conference that is read back as it is', () => {
  fc.assert(
    fc.property(fc.option(bookmark, { nil: undefined }), conference(NS_STORAGE), (kept, entry) => {
      const result = merged(kept?.conference, entry)
      expect([result.ns, result.name, result.attrs.jid]).toEqual([NS_BOOKMARKS, 'conference', kept?.conference.attrs.jid])
      for (const name of ['nick', 'password', 'extensions']) expect(result.getChildren(name).length).toBeLessThanOrEqual(1)
      const again = merged(result, toEntry({ id: ROOM, conference: result }))
      expect(serialize(again, '')).toBe(serialize(result, ''))
    }),
    runs,
  )
})
