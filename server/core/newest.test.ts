import { expect, test } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { LogPageSize } from '#storage/shapes.ts'
import { newest } from './newest.ts'

const owner = 'juliet@verona.example' as BareJid
const peer = 'romeo@verona.example'

/** What is read of so many entries, each with so many bytes, when no more than this is to be looked at. */
const lookAt = async (count: number, bytes: number, size: Required<LogPageSize>) => {
  const driver = new MemoryDriver({ nowMs: () => 0 })
  const stanza = wire('x'.repeat(bytes))
  for (let id = 1; id <= count; id++)
    await new Promise<void>((resolve) => {
      const place = { owner, peer, direction: 'in', isPending: false, isTransient: false } as const
      driver.log.append({ id, atMs: id, stanza, isText: true, places: [place] }, () => resolve())
    })
  const ids: number[] = []
  let heaviest = 0
  for await (const slice of newest(driver.log, owner, { peer }, size)) {
    ids.push(...slice.map(({ id }) => id))
    heaviest = Math.max(heaviest, slice.length * bytes)
  }
  return { ids, heaviest }
}

test('the newest come first, as many as there are', async () => {
  const { ids } = await lookAt(250, 10, { limit: 1_000, maxBytes: 1_000_000 })
  expect(ids).toEqual(Array.from({ length: 250 }, (_, i) => 250 - i))
})

test('no more than wanted are read', async () => {
  expect((await lookAt(250, 10, { limit: 120, maxBytes: 1_000_000 })).ids).toHaveLength(120)
})

test('of the largest, few are read at once, and few in all', async () => {
  const { ids, heaviest } = await lookAt(60, 100_000, { limit: 1_000, maxBytes: 2_000_000 })
  expect(ids).toEqual(Array.from({ length: 20 }, (_, i) => 60 - i))
  expect(heaviest).toBeLessThanOrEqual(400_000)
})
