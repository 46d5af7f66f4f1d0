import { expect, test } from 'vitest'
import { Inbox } from './inbox.ts'

const copy = (id: string, by = 'u1@localhost') =>
  `<message><body>1 0 0</body><stanza-id xmlns='urn:xmpp:sid:0' by='${by}' id='${id}'/></message>`

test('XEP-0359: a copy with the same stanza-id is repeated, one with another id is doubled', () => {
  const inbox = new Inbox('u1@localhost')
  inbox.take(0, copy('a'))
  inbox.take(0, copy('a'))
  inbox.take(0, copy('b'))
  expect(inbox).toMatchObject({ repeated: 1, doubled: 1, reordered: 0 })
})

test('XEP-0359 §5: ids given by others prove nothing', () => {
  const inbox = new Inbox('u1@localhost')
  inbox.take(0, copy('a', 'u0@localhost'))
  inbox.take(0, copy('a', 'u0@localhost'))
  expect(inbox).toMatchObject({ repeated: 0, doubled: 1 })
})

test('RFC 6120 §10.1: what comes after a later message is out of order', () => {
  const inbox = new Inbox('u1@localhost')
  for (const sequence of [0, 2, 1, 3]) inbox.take(sequence, copy(`${sequence}`))
  expect(inbox.reordered).toBe(1)
})
