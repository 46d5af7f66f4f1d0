import { expect, test } from 'vitest'
import { Books } from './books.ts'
import type { DevicePlan } from './population.ts'
import { judge } from './verdict.ts'

const plan = (account: string, resumes = true): DevicePlan => ({
  ...{ name: `${account}.phone`, account, resource: 'phone', resumes, roams: false, peers: [] },
})
const [ROMEO, JULIET, NURSE] = [plan('romeo'), plan('juliet'), plan('nurse', false)]
const ACCOUNT = 'juliet@chaos.example'

const copyOf = (id: string, stanzaId: string) =>
  `<message id='${id}'><body/><stanza-id xmlns='urn:xmpp:sid:0' by='${ACCOUNT}' id='${stanzaId}'/></message>`

/** Romeo, or who is said, sends Juliet so many messages, which are acknowledged; Juliet, or who is said, gets the copies. */
const story = ({ from = ROMEO, to = JULIET, messages = 1 }: { from?: DevicePlan; to?: DevicePlan; messages?: number } = {}) => {
  const books = new Books()
  const ids = Array.from({ length: messages }, (_, at) => {
    const message = books.compose(from, to.account, at)
    message.ackedAtMs = at
    return message.id
  })
  return {
    books,
    ids,
    gets: (id: string, stanzaId: string, session = 1) =>
      books.receive(to, copyOf(id, stanzaId), { atMs: 0, node: 'n0', session, account: ACCOUNT }),
    found(archive: readonly string[] = ids, refused: readonly number[] = []) {
      const { violations, notes } = judge({
        ...{ books, plans: [from, to], others: [] },
        archives: new Map([[to.account, archive]]),
        refusedSessions: new Map([[to.name, new Set(refused)]]),
      })
      return {
        promises: violations.map(({ promise }) => promise),
        notes: Object.entries(notes).flatMap(([note, times]) => (times > 0 ? [note] : [])),
      }
    },
  }
}

test('what was received once, in order, and is archived keeps every promise', () => {
  const { ids, gets, found } = story({ messages: 3 })
  for (const id of ids) gets(id, id)
  expect(found()).toEqual({ promises: [], notes: [] })
})

test('what nobody received and the archive has is not delivered; what neither has is lost', () => {
  expect(story().found().promises).toEqual(['undelivered'])
  expect(story().found([]).promises).toEqual(['lost'])
})

test('a client without XEP-0198 may have to look into its archive', () => {
  expect(story({ to: NURSE }).found()).toEqual({
    promises: [],
    notes: ['only in the archive, for accounts with clients without XEP-0198'],
  })
})

test('a message behind a later one breaks the order, of the device and of the archive', () => {
  const { ids, gets, found } = story({ messages: 2 })
  for (const id of ids.toReversed()) gets(id, id)
  expect(found(ids.toReversed()).promises).toEqual(['disorder', 'archive-disorder'])
})

test('a copy with the same stanza-id is a double in one session, and excused after a refused resumption', () => {
  const { ids, gets, found } = story()
  const [id = ''] = ids
  gets(id, 'a')
  gets(id, 'a', 2)
  expect(found(ids, [2])).toEqual({ promises: [], notes: ['doubles after a refused resumption (same stanza-id)'] })
  gets(id, 'a', 1)
  expect(found(ids, [2]).promises).toEqual(['doubled'])
})

test('a copy with another stanza-id was stored twice, whatever the session', () => {
  const { ids, gets, found } = story()
  const [id = ''] = ids
  gets(id, 'a')
  gets(id, 'b', 2)
  expect(found([id, id], [2]).promises).toEqual(['stored-twice', 'archived-twice'])
})

test('what was refused with an error is promised to nobody', () => {
  const { books, ids, found } = story()
  books.receive(
    ROMEO,
    `<message id='${ids[0]}' type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
    { atMs: 0, node: 'n0', session: 1, account: 'romeo@chaos.example' },
  )
  expect(books.messages[0]?.refused).toBe('resource-constraint')
  expect(found([])).toEqual({ promises: [], notes: ['refused with an error'] })
})
