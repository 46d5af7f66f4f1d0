import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import { type Progress, passedAt, placeOf, Watermarks } from './watermarks.ts'

const juliet = 'juliet@verona.example' as BareJid
const ROMEO = 'romeo@verona.example'

const stage = (max = 100) => {
  const clock = new FakeClock()
  const store = new MemoryDriver({ nowMs: () => clock.nowMs() }).documents<Progress>('progress')
  return { store, watermarks: new Watermarks(store, clock, max), again: () => new Watermarks(store, clock, max) }
}

test('ticks §7.1: whatever order moves come in, a watermark only moves forward, and each side by itself', async () => {
  const move = fc.record({ side: fc.constantFrom('read' as const, 'theirs' as const), id: fc.integer({ min: 1, max: 60 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 60 }), fc.boolean(), async (moves, isAtOnce) => {
      const { watermarks } = stage()
      const place = { read: 0, theirs: 0 }
      const outcomes: Promise<boolean>[] = []
      for (const [index, { side, id }] of moves.entries()) {
        const outcome = watermarks.move(juliet, ROMEO, side, { id, atMs: index })
        if (!isAtOnce) expect(await outcome).toBe(id > place[side])
        outcomes.push(outcome)
        place[side] = Math.max(place[side], id)
      }
      await Promise.all(outcomes)
      const { read, theirs } = await watermarks.of(juliet, ROMEO)
      expect({ read: placeOf(read), theirs: placeOf(theirs) }).toEqual(place)
    }),
    { numRuns: 200 },
  )
})

test('ticks §7.2: an entry is passed by the first move that reaches it, as far as the latest sixteen tell', async () => {
  const { watermarks } = stage()
  for (let n = 1; n <= 20; n++) await watermarks.move(juliet, ROMEO, 'read', { id: n * 10, atMs: n })
  const { read } = await watermarks.of(juliet, ROMEO)
  expect(read?.moves.length).toBe(16)
  expect(passedAt(read, 201)).toBeUndefined()
  expect(passedAt(read, 200)).toEqual({ atMs: 20 })
  expect(passedAt(read, 191)).toEqual({ atMs: 20 })
  expect(passedAt(read, 190)).toEqual({ atMs: 19 })
  expect(passedAt(read, 50)).toEqual({ atMs: 5 })
  expect(passedAt(read, 49)).toEqual({ atMs: undefined })
  expect(passedAt(undefined, 1)).toBeUndefined()
})

test('ticks §7.2: while nothing is forgotten, the first move is that of all before it', async () => {
  const { watermarks } = stage()
  await watermarks.move(juliet, ROMEO, 'theirs', { id: 10, atMs: 7 })
  expect(passedAt((await watermarks.of(juliet, ROMEO)).theirs, 1)).toEqual({ atMs: 7 })
})

test('ticks §8: beyond so many conversations those are forgotten that were quiet for longest', async () => {
  const { watermarks, store, again } = stage(20)
  for (let n = 0; n < 20; n++) await watermarks.move(juliet, `p${n}@verona.example`, 'read', { id: 1, atMs: n })
  await watermarks.move(juliet, 'p0@verona.example', 'theirs', { id: 1, atMs: 50 })
  // Counted anew, as after a restart.
  await again().move(juliet, 'p20@verona.example', 'read', { id: 1, atMs: 60 })
  const left = (await store.list(juliet)).map(({ key }) => key)
  expect(left.length).toBe(19)
  for (const gone of ['p1@verona.example', 'p2@verona.example']) expect(left).not.toContain(gone)
  for (const kept of ['p0@verona.example', 'p3@verona.example', 'p20@verona.example']) expect(left).toContain(kept)
})
