import { describe, expect, test } from 'vitest'
import { inbound, outbound, type SubscriptionStanza, type SubscriptionState } from './states.ts'

/** RFC 6121 §A.1 */
const NAMES = ['None', 'None+PO', 'None+PI', 'None+PO+PI', 'To', 'To+PI', 'From', 'From+PO', 'Both'] as const
type Name = (typeof NAMES)[number]

const stateOf = (name: Name): SubscriptionState => ({
  to: name.startsWith('To') || name === 'Both',
  from: name.startsWith('From') || name === 'Both',
  isAsking: name.includes('+PO'),
  isAsked: name.includes('+PI'),
  isApproved: false,
})
const nameOf = (state: SubscriptionState): Name | undefined =>
  NAMES.find((name) => JSON.stringify(stateOf(name)) === JSON.stringify(state))

/** The tables as the RFC has them: the new state for each of the nine; in brackets when the stanza goes no further. */
const TABLES: Readonly<Record<string, string>> = {
  '§A.2.1 out subscribe': 'None+PO  None+PO  None+PO+PI None+PO+PI To       To+PI    From+PO  From+PO  Both',
  '§A.2.2 out unsubscribe': 'None     None     None+PI  None+PI    None     None+PI  From     From     From',
  '§A.2.3 out subscribed': '(None)   (None+PO) From    From+PO    (To)     Both     (From)   (From+PO) (Both)',
  '§A.2.4 out unsubscribed': '(None)   (None+PO) None    None+PO    (To)     To       None     None+PO  To',
  '§A.3.1 in subscribe': 'None+PI  None+PO+PI (None+PI) (None+PO+PI) To+PI (To+PI) (From) (From+PO) (Both)',
  '§A.3.2 in unsubscribe': '(None)   (None+PO) None    None+PO    (To)     To       None     None+PO  To',
  '§A.3.3 in subscribed': '(None)   To       (None+PI) To+PI     (To)     (To+PI)  (From)   Both     (Both)',
  '§A.3.4 in unsubscribed': '(None)   None     (None+PI) None+PI   None     None+PI  (From)   From     From',
}

describe.each(Object.entries(TABLES))('RFC 6121 %s', (title, row) => {
  const [, direction, stanza] = title.split(' ')
  const step = direction === 'out' ? outbound : inbound
  const cells = row.split(/\s+/)
  test.each(NAMES.map((name, i) => [name, cells[i] ?? ''] as const))('%s → %s', (name, cell) => {
    const before = stateOf(name)
    const { next, passes } = step(before, stanza as SubscriptionStanza)
    const after = nameOf({ ...next, isApproved: false })
    expect(passes ? after : `(${after})`).toBe(cell)
    if (after === name && !next.isApproved) expect(next).toBe(before)
  })
})

test('RFC 6121 §3.4.2: approval before a request is noted, and grants it when it comes, once', () => {
  for (const name of ['None', 'None+PO', 'To'] as const) {
    const approved = outbound(stateOf(name), 'subscribed')
    expect(approved).toEqual({ next: { ...stateOf(name), isApproved: true }, passes: false })
    const granted = inbound(approved.next, 'subscribe')
    expect(granted).toEqual({ next: { ...stateOf(name), from: true }, passes: false, isGranted: true })
  }
})

test('RFC 6121 §3.4.3: an approval that was not used yet is taken back', () => {
  const approved = outbound(stateOf('To'), 'subscribed').next
  expect(outbound(approved, 'unsubscribed')).toEqual({ next: stateOf('To'), passes: false })
})

test('RFC 6121 §4.3.2: the contact’s own unsubscribed leaves an approval alone', () => {
  const approved = outbound(stateOf('To'), 'subscribed').next
  expect(inbound(approved, 'unsubscribed').next).toEqual({ ...stateOf('None'), isApproved: true })
})

test('RFC 6121 §3.1.3: whoever is subscribed already is granted it again', () => {
  for (const name of ['From', 'From+PO', 'Both'] as const) expect(inbound(stateOf(name), 'subscribe').isGranted).toBe(true)
})
