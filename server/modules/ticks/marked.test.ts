import { expect, test } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import { toWire, type Wire, wire } from '#stanzas/wire.ts'
import type { LogEntry } from '#storage/shapes.ts'
import { type Entries, findNamed } from './marked.ts'

const account = 'juliet@verona.example' as BareJid
const peer = 'romeo@verona.example'
const place = { account, peer, direction: 'in', after: 0 } as const

/** An archive of messages with these ids, oldest first, that counts how often one is read. */
const archiveOf = (names: readonly string[]) => {
  const counts = { reads: 0 }
  const entries = names.map((name, at): LogEntry => {
    const written = wire(`<message id='${toWire(name)}'><body>x</body></message>`)
    return {
      id: at + 1,
      atMs: 0,
      get stanza(): Wire {
        counts.reads++
        return written
      },
      owner: account,
      peer,
      direction: 'in',
      isPending: false,
      isTransient: false,
      isText: true,
      takenAtMs: undefined,
    }
  })
  const range: Entries['range'] = async (_, { limit, before = Number.POSITIVE_INFINITY }) =>
    entries
      .filter(({ id }) => id < before)
      .toReversed()
      .slice(0, limit)
  return { counts, archive: { range } as Entries }
}

test('of messages that are called the same, the newest is meant, whatever characters are in the name', async () => {
  const { archive } = archiveOf(['m1', 'é1', 'm1', 'é1', 'm2'])
  const found = await findNamed(archive, place, ['é1', 'm1', 'nobody', ''])
  expect(found.map(({ id }) => id)).toEqual([4, 3])
})

test('many names are looked for in one reading of the messages', async () => {
  const { archive, counts } = archiveOf(Array.from({ length: 200 }, (_, i) => `m${i}`))
  expect(
    await findNamed(
      archive,
      place,
      Array.from({ length: 100 }, (_, i) => `é${i}`),
    ),
  ).toEqual([])
  expect(counts.reads).toBeLessThan(1_000)
})
