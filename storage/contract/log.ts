import { expect, test } from 'vitest'
import type { Wire } from '#stanzas/wire.ts'
import type { LogQuery } from '../shapes.ts'
import { StorageError } from '../storage-error.ts'
import {
  append,
  hostileKeys,
  idsOf,
  jid,
  juliet,
  message,
  onStage,
  place,
  romeo,
  type Subject,
  testKept,
  tybalt,
} from './subject.ts'

const everyByte = String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte)) as Wire

/** Proves that a driver keeps the log as the shape promises. */
export const logContract = (subject: Subject): void => {
  appending(subject)
  pending(subject)
  ranges(subject)
  removing(subject)
}

const appending = (subject: Subject): void =>
  onStage(subject, 'log, appending', (stage) => {
    test('one record is found by each of its owners, as that owner sees it', async () => {
      const { log } = stage.driver
      await append(log, message(1, { stanza: everyByte }))
      const shared = { id: 1, atMs: 1000, stanza: everyByte, isTransient: false, isText: true, takenAtMs: undefined }
      expect(await log.get(romeo, 1)).toEqual({ ...shared, owner: romeo, peer: juliet, direction: 'out', isPending: false })
      expect(await log.get(juliet, 1)).toEqual({ ...shared, owner: juliet, peer: romeo, direction: 'in', isPending: true })
      expect(await log.get(tybalt, 1)).toBeUndefined()
      expect(await log.get(romeo, 2)).toBeUndefined()
    })

    test('a record has as many places as it is given, from one to many, each of another owner', async () => {
      const { log } = stage.driver
      const owners = Array.from({ length: 40 }, (_, index) => jid(`guest${index}@verona.example`))
      await append(log, message(1, { places: [place(romeo, tybalt, 'out')] }))
      await append(log, message(2, { places: owners.map((owner) => place(owner, romeo, 'in', true)) }))
      for (const owner of owners) expect(idsOf(await log.range(owner, { limit: 5 }))).toEqual([2])
      expect(idsOf(await log.range(romeo, { limit: 5 }))).toEqual([1])
      const twice = message(3, { places: [place(romeo, romeo, 'out'), place(romeo, romeo, 'in', true)] })
      await expect(append(log, twice)).rejects.toThrow(StorageError)
      expect(idsOf(await log.range(romeo, { limit: 5 }))).toEqual([1])
    })

    test('done is called in the order of the appends, after a turn and never during append', async () => {
      const { log } = stage.driver
      const order: number[] = []
      let isCalling = true
      const all = Array.from(
        { length: 300 },
        (_, index) =>
          new Promise<void>((resolve, reject) =>
            log.append(message(index + 1), (error) => {
              if (isCalling || error !== undefined) reject(error ?? new Error('called back during append'))
              order.push(index)
              resolve()
            }),
          ),
      )
      isCalling = false
      await Promise.all(all)
      expect(order).toEqual(Array.from({ length: 300 }, (_, index) => index))
    })

    test('a read sees what was appended before it, though nobody waited', async () => {
      const { log } = stage.driver
      const appended = append(log, message(1))
      const seen = log.range(juliet, { limit: 10 })
      const appendedNext = append(log, message(2))
      const seenNext = log.pending(juliet, { limit: 10 })
      log.clearPending(juliet, 1, 5000)
      const count = log.countPending(juliet)
      expect(idsOf(await seen)).toEqual([1])
      expect(idsOf(await seenNext)).toEqual([1, 2])
      expect(await count).toBe(1)
      await Promise.all([appended, appendedNext])
    })

    test('an id that was used is refused and harms no other, and one below it is in its place', async () => {
      const { log } = stage.driver
      await append(log, message(5))
      const results = await Promise.allSettled([append(log, message(5)), append(log, message(4)), append(log, message(6))])
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
      for (const id of [4, 5, 6]) await expect(append(log, message(id, { atMs: 1 }))).rejects.toThrow(StorageError)
      expect(idsOf(await log.range(romeo, { limit: 10 }))).toEqual([4, 5, 6])
    })

    test('what comes behind higher ids is in the order of ids, however late it is', async () => {
      const { log } = stage.driver
      const ids: number[] = []
      const come = async (...next: readonly number[]) => {
        await Promise.all(next.map((id) => append(log, message(id))))
        ids.push(...next)
        ids.sort((a, b) => a - b)
        expect(idsOf(await log.range(juliet, { limit: 99 }))).toEqual(ids)
        expect(idsOf(await log.range(romeo, { limit: 99, backwards: true }))).toEqual(ids.toReversed())
        expect(idsOf(await log.pending(juliet, { limit: 99 }))).toEqual(ids)
        expect(idsOf(await log.range(juliet, { limit: 99, after: 20, before: 60 }))).toEqual(
          ids.filter((id) => id > 20 && id < 60),
        )
        expect(idsOf(await log.range(romeo, { limit: 99, fromMs: 20_000, untilMs: 60_000 }))).toEqual(
          ids.filter((id) => id >= 20 && id <= 60),
        )
        expect(await log.countPending(juliet)).toBe(ids.length)
        for (const id of next) expect((await log.get(juliet, id))?.id).toBe(id)
      }
      await come(50, 40, 45)
      await come(...Array.from({ length: 20 }, (_, index) => 51 + index))
      await come(30, 48, 20, 49, 80)
      for (let id = 29; id > 20; id -= 1) await come(id)
      await come(1, 79)
      expect(await log.lastId()).toBe(80)
      log.clearPending(juliet, 30, 9000)
      log.clearPending(juliet, 79, 9000)
      expect(idsOf(await log.pending(juliet, { limit: 99 }))).toEqual(ids.filter((id) => id !== 30 && id !== 79))
      await log.delete(juliet, [48])
      expect(await log.get(juliet, 48)).toBeUndefined()
      if (!subject.isPersistent) return
      const again = (await stage.reopen()).log
      expect(idsOf(await again.range(romeo, { limit: 99 }))).toEqual(ids)
      expect(idsOf(await again.pending(juliet, { limit: 99 }))).toEqual(ids.filter((id) => ![30, 48, 79].includes(id)))
    })

    test('the last id is 0 at first, then the highest ever, also when that record is gone', async () => {
      const { log } = stage.driver
      expect(await log.lastId()).toBe(0)
      await append(log, message(2 ** 52 + 3))
      expect(await log.lastId()).toBe(2 ** 52 + 3)
      await log.delete(romeo, [2 ** 52 + 3])
      await log.delete(juliet, [2 ** 52 + 3])
      expect(await log.range(romeo, { limit: 1 })).toEqual([])
      expect(await log.lastId()).toBe(2 ** 52 + 3)
      if (subject.isPersistent) expect(await (await stage.reopen()).log.lastId()).toBe(2 ** 52 + 3)
    })

    test('owners and peers do not mix, however strange their names, and stanzas may be empty or large', async () => {
      const { log } = stage.driver
      const large = '<body>'.repeat(60_000) as Wire
      for (const [index, name] of hostileKeys.entries())
        await append(
          log,
          message(index + 1, { stanza: index % 2 === 0 ? large : ('' as Wire), places: [place(jid(name), name, 'out')] }),
        )
      for (const [index, name] of hostileKeys.entries()) {
        const entries = await log.range(jid(name), { limit: 10, peer: name })
        expect(entries.map(({ id, peer, stanza }) => [id, peer, stanza.length])).toEqual([
          [index + 1, name, index % 2 === 0 ? large.length : 0],
        ])
      }
    })

    test('flush resolves when everything so far is durable', async () => {
      const { log } = stage.driver
      let isDurable = false
      log.append(message(1), () => {
        isDurable = true
      })
      await log.flush()
      expect(isDurable).toBe(true)
    })
  })

const pending = (subject: Subject): void =>
  onStage(subject, 'log, pending', (stage) => {
    test('a place that starts pending is listed until its mark is taken off, then the entry stays', async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id))
      expect(idsOf(await log.pending(juliet, { limit: 10 }))).toEqual([1, 2, 3])
      expect(await log.countPending(juliet)).toBe(3)
      expect(await log.countPending(romeo)).toBe(0)

      log.clearPending(juliet, 2, 5000)
      expect(idsOf(await log.pending(juliet, { limit: 10 }))).toEqual([1, 3])
      expect(await log.countPending(juliet)).toBe(2)
      const entries = await log.range(juliet, { limit: 10 })
      expect(entries.map(({ id, isPending }) => [id, isPending])).toEqual([
        [1, true],
        [2, false],
        [3, true],
      ])
      expect((await log.get(juliet, 2))?.isPending).toBe(false)
    })

    test('pages follow one another oldest first', async () => {
      const { log } = stage.driver
      for (let id = 1; id <= 7; id += 1) await append(log, message(id))
      log.clearPending(juliet, 4, 5000)
      expect(idsOf(await log.pending(juliet, { limit: 2 }))).toEqual([1, 2])
      expect(idsOf(await log.pending(juliet, { after: 2, limit: 2 }))).toEqual([3, 5])
      expect(idsOf(await log.pending(juliet, { after: 5, limit: 9 }))).toEqual([6, 7])
      expect(await log.pending(juliet, { after: 7, limit: 9 })).toEqual([])
      expect(await log.pending(juliet, { limit: 0 })).toEqual([])
    })

    test('unknown marks, and marks taken off twice, are ignored', async () => {
      const { log } = stage.driver
      log.clearPending(juliet, 99, 5000)
      await append(log, message(1))
      await append(log, message(2))
      log.clearPending(tybalt, 1, 5000)
      log.clearPending(romeo, 1, 5000)
      log.clearPending(juliet, 1, 5000)
      log.clearPending(juliet, 1, 5000)
      log.clearPending(juliet, 99, 5000)
      await log.flush()
      log.clearPending(juliet, 1, 5000)
      expect(await log.countPending(juliet)).toBe(1)
      expect(idsOf(await log.pending(juliet, { limit: 5 }))).toEqual([2])
      await append(log, message(99))
      expect(await log.countPending(juliet)).toBe(2)
    })

    test("one owner's mark is not another's", async () => {
      const { log } = stage.driver
      await append(log, message(1, { places: [place(romeo, juliet, 'out', true), place(juliet, romeo, 'in', true)] }))
      log.clearPending(juliet, 1, 5000)
      expect(await log.countPending(juliet)).toBe(0)
      expect(await log.countPending(romeo)).toBe(1)
    })

    testKept(subject)('marks live through closing and opening, wherever in their life it falls', async () => {
      for (let id = 1; id <= 4; id += 1) await append(stage.driver.log, message(id))
      stage.driver.log.clearPending(juliet, 1, 5000)
      let { log } = await stage.reopen()
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([2, 3, 4])
      log.clearPending(juliet, 2, 5000)
      log = (await stage.reopen()).log
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([3, 4])
      await append(log, message(5))
      log.clearPending(juliet, 5, 5000)
      log.clearPending(juliet, 3, 5000)
      expect(await log.countPending(juliet)).toBe(1)
      log = (await stage.reopen()).log
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([4])
      expect(await log.countPending(juliet)).toBe(1)
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([1, 2, 3, 4, 5])
    })
  })

const ranges = (subject: Subject): void =>
  onStage(subject, 'log, ranges', (stage) => {
    const fill = async () => {
      for (let id = 1; id <= 30; id += 1) {
        const peer = id % 3 === 0 ? tybalt : juliet
        await append(stage.driver.log, message(id * 10, { atMs: id * 1000, places: [place(romeo, peer, 'out')] }))
      }
    }
    const ids = async (query: Omit<LogQuery, 'limit'> & { readonly limit?: number }) =>
      idsOf(await stage.driver.log.range(romeo, { limit: 100, ...query }))
    const tens = (...numbers: readonly number[]) => numbers.map((each) => each * 10)

    test('pages go forwards and backwards by id, without the ids they are named after', async () => {
      await fill()
      expect(await ids({ limit: 3 })).toEqual(tens(1, 2, 3))
      expect(await ids({ after: 30, limit: 3 })).toEqual(tens(4, 5, 6))
      expect(await ids({ after: 35, limit: 2 })).toEqual(tens(4, 5))
      expect(await ids({ backwards: true, limit: 3 })).toEqual(tens(30, 29, 28))
      expect(await ids({ backwards: true, before: 280, limit: 2 })).toEqual(tens(27, 26))
      expect(await ids({ after: 50, before: 90 })).toEqual(tens(6, 7, 8))
      expect(await ids({ after: 50, before: 90, backwards: true, limit: 2 })).toEqual(tens(8, 7))
      expect(await ids({ after: 300 })).toEqual([])
      expect(await ids({ before: 10 })).toEqual([])
      expect(await ids({ limit: 0 })).toEqual([])
    })

    test('times include their ends', async () => {
      await fill()
      expect(await ids({ fromMs: 28_000 })).toEqual(tens(28, 29, 30))
      expect(await ids({ fromMs: 27_001, untilMs: 29_000 })).toEqual(tens(28, 29))
      expect(await ids({ untilMs: 2000 })).toEqual(tens(1, 2))
      expect(await ids({ untilMs: 2999, backwards: true, limit: 1 })).toEqual(tens(2))
      expect(await ids({ fromMs: 5000, untilMs: 4000 })).toEqual([])
    })

    test('a time that ran backwards is found by its own time, in the order of arrival', async () => {
      const { log } = stage.driver
      for (const [id, atMs] of [
        [1, 5000],
        [2, 9000],
        [3, 6000],
        [4, 7000],
      ] as const)
        await append(log, message(id, { atMs }))
      expect(await ids({ fromMs: 6000, untilMs: 7000 })).toEqual([3, 4])
      expect(await ids({ fromMs: 7000 })).toEqual([2, 4])
      expect(await ids({ untilMs: 6000, backwards: true })).toEqual([3, 1])
    })

    test('a peer is told from the others, with every other condition', async () => {
      await fill()
      expect(await ids({ peer: tybalt, limit: 3 })).toEqual(tens(3, 6, 9))
      expect(await ids({ peer: tybalt, backwards: true, limit: 2 })).toEqual(tens(30, 27))
      expect(await ids({ peer: tybalt, after: 60, before: 150, fromMs: 9001 })).toEqual(tens(12))
      expect(await ids({ peer: 'paris@verona.example' })).toEqual([])
    })

    testKept(subject)('the same pages come from a database that was closed and opened, and across the seam', async () => {
      await fill()
      const { log } = await stage.reopen()
      await append(log, message(310, { atMs: 31_000, places: [place(romeo, juliet, 'out')] }))
      expect(await ids({ after: 270 })).toEqual(tens(28, 29, 30, 31))
      expect(await ids({ backwards: true, limit: 3 })).toEqual(tens(31, 30, 29))
      expect(await ids({ peer: juliet, fromMs: 28_000 })).toEqual(tens(28, 29, 31))
      await expect(append(log, message(300))).rejects.toThrow(StorageError)
    })
  })

const removing = (subject: Subject): void =>
  onStage(subject, 'log, removing', (stage) => {
    test('expire takes the oldest first, at most so many, and keeps what is pending', async () => {
      const { log } = stage.driver
      for (let id = 1; id <= 6; id += 1) await append(log, message(id))
      log.clearPending(juliet, 1, 5000)
      log.clearPending(juliet, 3, 5000)
      log.clearPending(juliet, 4, 5000)
      expect(await log.expire(juliet, 5000, 2)).toBe(2)
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2, 4, 5, 6])
      expect(await log.expire(juliet, 5000, 9)).toBe(1)
      expect(await log.expire(juliet, 5000, 9)).toBe(0)
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2, 5, 6])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([2, 5, 6])
      expect(await log.range(romeo, { limit: 9 })).toHaveLength(6)
    })

    test("a deleted entry is gone for its owner, pending or not, and stays the other's", async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id))
      await log.delete(juliet, [1, 3, 77])
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([2])
      expect(await log.countPending(juliet)).toBe(1)
      expect(await log.get(juliet, 1)).toBeUndefined()
      expect((await log.get(romeo, 1))?.stanza).toBe('<message id="m1"/>')
      await log.delete(romeo, [1])
      expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([2, 3])
      await log.delete(romeo, [])
    })

    test('deleteOwner takes everything of one owner, and what comes later stays', async () => {
      const { log } = stage.driver
      for (const id of [1, 2, 3]) await append(log, message(id))
      const deleted = log.deleteOwner(juliet)
      const later = append(log, message(4))
      await Promise.all([deleted, later])
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([4])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([4])
      expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([1, 2, 3, 4])
      await log.deleteOwner(tybalt)
    })

    testKept(subject)('what was removed stays removed after closing and opening, from before and after it', async () => {
      for (let id = 1; id <= 6; id += 1) await append(stage.driver.log, message(id))
      await stage.driver.log.delete(juliet, [1])
      let { log } = await stage.reopen()
      await append(log, message(7))
      await log.delete(juliet, [2, 7])
      log.clearPending(juliet, 3, 5000)
      expect(await log.expire(juliet, 9000, 9)).toBe(1)
      await log.delete(romeo, [1, 2])
      log = (await stage.reopen()).log
      expect(idsOf(await log.range(juliet, { limit: 9 }))).toEqual([4, 5, 6])
      expect(idsOf(await log.pending(juliet, { limit: 9 }))).toEqual([4, 5, 6])
      expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([3, 4, 5, 6, 7])
      await log.deleteOwner(juliet)
      log = (await stage.reopen()).log
      expect(await log.range(juliet, { limit: 9 })).toEqual([])
      expect(await log.countPending(juliet)).toBe(0)
      expect(idsOf(await log.range(romeo, { limit: 9 }))).toEqual([3, 4, 5, 6, 7])
    })
  })
