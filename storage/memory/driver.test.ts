import { expect, test } from 'vitest'
import { append, idsOf, juliet, message } from '../contract/subject.ts'
import { StorageError } from '../storage-error.ts'
import { MemoryDriver } from './driver.ts'

const open = () => new MemoryDriver({ nowMs: () => 0 })
const fullDisk = new StorageError('the disk is full', { isTransient: true })

test('a failed commit reports its error to every write and keeps none of them; reads are answered', async () => {
  const driver = open()
  const { log } = driver
  const store = driver.documents<number>('m/s')
  driver.failNext(fullDisk)
  const results = await Promise.allSettled([append(log, message(1)), store.put('o', 'k', 1), store.get('o', 'k'), log.flush()])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'rejected'])
  expect(await store.get('o', 'k')).toBeUndefined()
  expect(await log.lastId()).toBe(0)
  await append(log, message(1))
})

test('a mark whose commit failed is taken off by the next one', async () => {
  const driver = open()
  await append(driver.log, message(1))
  driver.failNext(fullDisk)
  driver.log.clearPending(juliet, 1, 7)
  await driver.log.flush().catch(() => {})
  await driver.log.flush()
  expect(await driver.log.countPending(juliet)).toBe(0)
})

test('what is held back is reported in order once released', async () => {
  const driver = open()
  const order: string[] = []
  driver.hold()
  driver.log.append(message(1), () => order.push('one'))
  const seen = driver.log.range(juliet, { limit: 9 })
  driver.log.append(message(2), () => order.push('two'))
  await new Promise((resolve) => setImmediate(resolve))
  expect(order).toEqual([])
  driver.release()
  expect(idsOf(await seen)).toEqual([1])
  await driver.log.flush()
  expect(order).toEqual(['one', 'two'])
})

test('closing commits what is queued, also what was held, and then refuses', async () => {
  const driver = open()
  driver.hold()
  const appended = append(driver.log, message(1))
  await driver.close()
  await appended
  await expect(driver.check()).rejects.toThrow('the store is closed')
  await driver.close()
})
