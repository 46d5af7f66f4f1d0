import { expect, test } from 'vitest'
import { conversation, xml } from '#server/testing/conversation.ts'
import { heaviestRead } from '#server/testing/heaviest-read.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { wire } from '#stanzas/wire.ts'
import type { LogEntry, LogQuery } from '#storage/shapes.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { Archive, type Entries } from './archive.ts'
import type { ArchiveQuery } from './query.ts'

const OWNER = 'juliet@verona.example' as BareJid
const ROMEO = 'romeo@verona.example'

const entry = (id: number, bytes = 0): LogEntry => ({
  id,
  atMs: id,
  stanza: wire(`<message from='${ROMEO}/orchard' to='${OWNER}' id='${'x'.repeat(bytes)}'/>`),
  owner: OWNER,
  peer: ROMEO,
  direction: 'in',
  isPending: false,
  isTransient: false,
  isText: true,
  takenAtMs: undefined,
})

/** An archive with entries 1 to `count`, and what was read of it. */
const archiveOf = (count: number, bytes = 0) => {
  const reads: LogQuery[] = []
  const range = (_: BareJid, query: LogQuery): Promise<readonly LogEntry[]> => {
    reads.push(query)
    const first = (query.after ?? 0) + 1
    const last = Math.min(query.before ?? Number.POSITIVE_INFINITY, count + 1) - 1
    const length = Math.max(0, Math.min(query.limit, last - first + 1))
    return Promise.resolve(Array.from({ length }, (_, i) => entry(query.backwards === true ? last - i : first + i, bytes)))
  }
  const entries: Entries = { range, search: () => Promise.resolve([]), count: () => Promise.resolve(count) }
  return { archive: new Archive(entries, OWNER), reads }
}

const asking = (query: Partial<ArchiveQuery>): ArchiveQuery => ({
  queryId: undefined,
  with: undefined,
  fromMs: undefined,
  untilMs: undefined,
  words: undefined,
  ids: undefined,
  afterId: undefined,
  beforeId: undefined,
  after: undefined,
  before: undefined,
  isBackwards: false,
  isFlipped: false,
  max: 50,
  ...query,
})
const idsIn = ({ entries }: { readonly entries: readonly LogEntry[] }) => entries.map(({ id }) => id)

test('DESIGN §11: a page is read at once, and no more of the archive than one entry beyond it', async () => {
  const { archive, reads } = archiveOf(1_000_000)
  const page = await archive.page(asking({ after: 500_000 }), 1_000_000)
  expect([page.entries.length, page.isComplete]).toEqual([50, false])
  expect(reads.map(({ limit }) => limit).toSorted((a, b) => a - b)).toEqual([1, 51])
})

test('DESIGN P5: a page ends where it is large enough, at the end that was asked for', async () => {
  const { archive } = archiveOf(20, 1_000)
  const first = await archive.page(asking({}), 5_000)
  expect([idsIn(first), first.isComplete]).toEqual([[1, 2, 3, 4], false])
  const last = await archive.page(asking({ isBackwards: true }), 5_000)
  expect([idsIn(last), last.isComplete]).toEqual([[17, 18, 19, 20], false])
  const next = await archive.page(asking({ isBackwards: true, before: 17 }), 5_000)
  expect(idsIn(next)).toEqual([13, 14, 15, 16])
  const named = await archive.page(asking({ ids: [2, 4, 6, 8, 10, 12] }), 5_000)
  expect([idsIn(named), named.isComplete, named.count]).toEqual([[2, 4, 6, 8], false, 6])
})

test('DESIGN P5: one message that is larger than a page is a page of its own', async () => {
  const { archive } = archiveOf(3, 1_000)
  expect(idsIn(await archive.page(asking({}), 10))).toEqual([1])
})

test('XEP-0313 §4.1.1: the messages of one resource are sought, but not without end', async () => {
  const orchard = parseJid(`${ROMEO}/orchard`)
  const street = parseJid(`${ROMEO}/street`)
  const { archive, reads } = archiveOf(1_000_000)
  expect(idsIn(await archive.page(asking({ with: orchard, max: 3 }), 1_000_000))).toEqual([1, 2, 3])
  reads.length = 0
  const sought = await archive.page(asking({ with: street }), 1_000_000).catch((error: unknown) => error)
  expect(sought).toBeInstanceOf(StanzaError)
  expect(sought).toMatchObject({ condition: 'resource-constraint' })
  expect(reads).toHaveLength(200)
  const few = await archiveOf(500).archive.page(asking({ with: street, isBackwards: true }), 1_000_000)
  expect([idsIn(few), few.isComplete]).toEqual([[], true])
  const counted = await archive.page(asking({ with: street, max: 0 }), 1_000_000)
  expect([counted.count, counted.isComplete]).toEqual([undefined, false])
})

conversation(
  'XEP-0313 §4.3.4: of the largest messages few are read at once, however they are asked for',
  { modules: [offline, mam], carriers: ['memory'] },
  async (scene) => {
    const juliet = await scene.comesOnline('juliet@verona.example/balcony')
    await scene.createAccount('romeo@verona.example')
    for (let i = 0; i < 20; i++)
      await juliet.sends(
        xml`<message type="chat" to="romeo@verona.example" id="m${i}"><body>${'x'.repeat(100_000)}</body></message>`,
      )
    await juliet.ignores()
    const read = heaviestRead(scene.driver.log)
    const ask = async (fields: string): Promise<number> => {
      await juliet.sends(
        xml`<iq type="set" id="q"><query xmlns="urn:xmpp:mam:2"><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE"><value>urn:xmpp:mam:2</value></field>${fields}</x></query></iq>`,
      )
      return (await juliet.collects()).filter(({ name }) => name === 'message').length
    }
    expect(await ask('')).toBe(2)
    expect(await ask('<field var="with"><value>romeo@verona.example</value></field>')).toBe(2)
    expect(await ask('<field var="with"><value>romeo@verona.example/nowhere</value></field>')).toBe(0)
    expect(read.most).toBeLessThan(400_000)
  },
)
