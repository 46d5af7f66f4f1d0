import { expect, test } from 'vitest'
import { wire } from '#stanzas/wire.ts'
import { jid, message } from '../contract/subject.ts'
import { Batch, Dictionary } from './batch.ts'

const nothingFailed = { refused: new Map(), results: [] }

test('P5: past its limit a batch refuses appends for now, and reports in order all the same', () => {
  const batch = new Batch(new Dictionary(), new ArrayBuffer(16))
  const reports: string[] = []
  const stanza = wire('x'.repeat(40 * 1024 * 1024))
  for (const id of [1, 2]) batch.append(message(id, { stanza }), (error) => reports.push(`${id} ${error?.message ?? 'kept'}`))
  batch.append(message(3), (error) => reports.push(`3 ${error?.message ?? 'kept'}`))
  expect(reports).toEqual([])
  batch.settle(nothingFailed)
  expect(reports).toEqual(['1 kept', '2 the store does not keep up', '3 kept'])
})

test('a refusal of the writer reaches the append it is for, past those refused before', () => {
  const batch = new Batch(new Dictionary(), new ArrayBuffer(16))
  const reports: (string | undefined)[] = []
  const places = [{ owner: jid('\ud800'), peer: '', direction: 'in', isPending: true, isTransient: false }] as const
  batch.append(message(1, { places }), (error) => reports.push(error?.message))
  batch.append(message(2), (error) => reports.push(error?.message))
  batch.append(message(3), (error) => reports.push(error?.message))
  batch.settle({ refused: new Map([[1, { message: 'no', isTransient: false }]]), results: [] })
  expect(reports).toEqual(['a key holds half of a surrogate pair', undefined, 'no'])
})

test('one callback that throws costs no other its report', async () => {
  const batch = new Batch(new Dictionary(), new ArrayBuffer(16))
  const thrown = new Promise((resolve) => {
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => {
      for (const listener of listeners) process.on('uncaughtException', listener)
      resolve(error)
    })
  })
  const reports: number[] = []
  batch.append(message(1), () => {
    throw new Error('a bug of the caller')
  })
  batch.append(message(2), () => reports.push(2))
  batch.settle(nothingFailed)
  expect(reports).toEqual([2])
  expect(await thrown).toMatchObject({ message: 'a bug of the caller' })
})

test('the dictionary gives a text its number once, and starts anew when it has grown large', () => {
  const dictionary = new Dictionary()
  expect([dictionary.referenceOf('a'), dictionary.referenceOf('b'), dictionary.referenceOf('a')]).toEqual([0, 1, 0])
  expect(dictionary.takeAdded()).toEqual({ firstName: 0, names: ['a', 'b'] })
  for (let index = 0; index < 70_000; index += 1) dictionary.referenceOf(`peer ${index}`)
  expect(dictionary.takeAdded().firstName).toBe(2)
  dictionary.trim()
  dictionary.referenceOf('a')
  expect(dictionary.takeAdded()).toEqual({ firstName: 0, names: ['a'] })
})
