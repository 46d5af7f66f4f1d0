import { expect, test } from 'vitest'
import { el } from './element.ts'
import { hintsOf } from './hints.ts'
import { NS_CLIENT, NS_HINTS } from './namespaces.ts'
import { message } from './stanza.ts'

const hint = (name: string) => el(NS_HINTS, name)

test('XEP-0334 §4: the hints of a message are read', () => {
  const hints = hintsOf(message({}, el(NS_CLIENT, 'body', {}, 'hi'), hint('no-copy'), hint('no-store'), hint('later')))
  expect([...hints]).toEqual(['no-copy', 'no-store'])
  expect([...hintsOf(message({}, hint('store'), hint('no-permanent-store')))]).toEqual(['store', 'no-permanent-store'])
})

test('XEP-0334 §4: names of other namespaces are no hints', () => {
  expect(hintsOf(message({}, el(NS_CLIENT, 'store'))).size).toBe(0)
})

test('XEP-0334 §5: hints in an error are those of what it answers', () => {
  expect(hintsOf(message({ type: 'error' }, hint('store'))).size).toBe(0)
})
