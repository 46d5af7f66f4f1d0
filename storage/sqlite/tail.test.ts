import { expect, test } from 'vitest'
import { FLAG_PENDING } from './record.ts'
import { Tail } from './tail.ts'

const filled = () => {
  const tail = new Tail()
  for (let id = 1; id <= 20_000; id += 1) {
    tail.add(id * 5, id, id % 7, 100, FLAG_PENDING)
    tail.add(id * 5, id, 7 + (id % 11), 100, 0)
  }
  return tail
}
const idsOf = (tail: Tail, owner: number) => tail.entriesOf(owner).map((at) => tail.ids[at])

test('each owner has its own entries, oldest first, however many there are', () => {
  const tail = filled()
  expect(tail.length).toBe(40_000)
  expect(tail.lastId).toBe(100_000)
  expect(tail.owners()).toEqual(Array.from({ length: 18 }, (_, owner) => owner))
  expect(idsOf(tail, 3).slice(0, 3)).toEqual([15, 50, 85])
  expect(idsOf(tail, 3)).toHaveLength(2857)
  expect(idsOf(tail, 99)).toEqual([])
  expect(tail.entriesOf(3, 99_900).map((at) => tail.ids[at])).toEqual([99_905, 99_940, 99_975])
})

test('an entry is found by owner and id, and by nothing else', () => {
  const tail = filled()
  const at = tail.find(3, 50)
  expect(tail.ids[at]).toBe(50)
  expect(tail.isPending(at)).toBe(true)
  tail.clearPending(at, 77)
  expect(tail.postingAt(at)).toEqual({ id: 50, atMs: 10, peer: 100, flags: 0, takenAtMs: 77 })
  expect(tail.isPending(at)).toBe(false)
  for (const [owner, id] of [
    [3, 51],
    [4, 50],
    [3, 0],
    [3, 100_005],
  ] as const)
    expect(tail.find(owner, id)).toBe(-1)
})

test('a removed entry, and a dropped owner, are no longer there', () => {
  const tail = filled()
  tail.remove(tail.find(3, 15))
  expect(tail.find(3, 15)).toBe(-1)
  expect(idsOf(tail, 3)[0]).toBe(50)
  tail.drop(3)
  expect(tail.find(3, 50)).toBe(-1)
  expect(idsOf(tail, 3)).toEqual([])
  expect(idsOf(tail, 4)[0]).toBe(20)
})

test('what comes behind a higher id is in its place, and found', () => {
  const tail = new Tail()
  const ids = [50, 40, 60, 45, 10, 70, 65, 41]
  for (const id of ids) for (const owner of [1, 2]) tail.add(id, id, owner, 100, FLAG_PENDING)
  expect(tail.lastId).toBe(70)
  for (const owner of [1, 2]) expect(idsOf(tail, owner)).toEqual(ids.toSorted((a, b) => a - b))
  expect(tail.entriesOf(2, 45).map((at) => tail.ids[at])).toEqual([50, 60, 65, 70])
  for (const id of ids) expect([tail.has(id), tail.ids[tail.find(2, id)]]).toEqual([true, id])
  for (const id of [9, 42, 55, 71]) expect([tail.has(id), tail.find(1, id)]).toEqual([false, -1])
})

test('a tail is split by ids, with what was taken and removed of it', () => {
  const tail = new Tail()
  for (const id of [50, 40, 60, 45]) tail.add(id, id, 1, 100, FLAG_PENDING)
  tail.clearPending(tail.find(1, 60), 7)
  tail.clearPending(tail.find(1, 40), 8)
  tail.remove(tail.find(1, 50))
  const [before, behind] = tail.split(45)
  expect([idsOf(before, 1), idsOf(behind, 1)]).toEqual([[40, 45], [60]])
  expect([before.marks(), behind.marks()]).toEqual([[[1, 40, 8]], [[1, 60, 7]]])
  expect([behind.has(50), behind.isPending(behind.find(1, 60)), before.isPending(before.find(1, 45))]).toEqual([
    true,
    false,
    true,
  ])
})
