import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Element, el } from '#stanzas/element.ts'
import { NS_DATA_FORMS } from '#stanzas/namespaces.ts'
import { NS_RSM } from '#stanzas/rsm.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { logIdToText } from '#stanzas/stanza-id.ts'
import { NS_MAM, readQuery } from './query.ts'

const LIMITS = { defaultPage: 50, maxPage: 250 }

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.nat().map(logIdToText),
  fc.constantFrom('', 'true', '2026-01-01T00:00:00Z', 'juliet@verona.example/balcony', NS_MAM, '-1', '1e9', '2147483648'),
)
const names = fc.constantFrom(
  ...[
    'FORM_TYPE',
    'with',
    'start',
    'end',
    'before-id',
    'after-id',
    'ids',
    'include-groupchat',
    '{urn:xmpp:fulltext:0}fulltext',
    'x',
    '',
  ],
)
const field = fc
  .tuple(names, fc.array(text, { maxLength: 3 }))
  .map(([name, values]) =>
    el(NS_DATA_FORMS, 'field', { var: name }, ...values.map((value) => el(NS_DATA_FORMS, 'value', {}, value))),
  )
const type = el(NS_DATA_FORMS, 'field', { var: 'FORM_TYPE' }, el(NS_DATA_FORMS, 'value', {}, NS_MAM))
const form = fc
  .tuple(fc.constantFrom('submit', 'submit', 'submit', 'form', 'cancel', undefined), fc.array(field, { maxLength: 4 }))
  .map(([kind, fields]) => el(NS_DATA_FORMS, 'x', { type: kind }, type, ...fields))
const set = fc
  .array(fc.tuple(fc.constantFrom('max', 'after', 'before', 'index'), text), { maxLength: 3 })
  .map((said) => el(NS_RSM, 'set', {}, ...said.map(([name, value]) => el(NS_RSM, name, {}, value))))
const query = fc
  .tuple(fc.array(fc.oneof(form, set), { maxLength: 3 }), fc.option(text, { nil: undefined }))
  .map(([children, queryid]): Element => el(NS_MAM, 'query', { queryid }, ...children))

test('XEP-0313 §4: whatever stands in a query, it is refused as a stanza or asks for something in range', () => {
  fc.assert(
    fc.property(query, (element) => {
      try {
        const read = readQuery(element, LIMITS)
        expect(read.max >= 0 && read.max <= 250).toBe(true)
        expect((read.ids ?? []).length <= 250).toBe(true)
        for (const id of [read.after, read.before, read.afterId, read.beforeId, ...(read.ids ?? [])])
          expect(id === undefined || Number.isSafeInteger(id)).toBe(true)
        for (const ms of [read.fromMs, read.untilMs]) expect(ms === undefined || Number.isFinite(ms)).toBe(true)
      } catch (error) {
        if (!(error instanceof StanzaError)) throw error
      }
    }),
    { numRuns: 1_000 },
  )
})

test('XEP-0313 §4: a query of nothing asks for the first page of everything', () => {
  const read = readQuery(el(NS_MAM, 'query'), LIMITS)
  expect(Object.entries(read).filter(([, value]) => value !== undefined)).toEqual([
    ['isBackwards', false],
    ['isFlipped', false],
    ['max', 50],
  ])
})
