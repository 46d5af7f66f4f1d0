import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BatchReader } from './batch-reader.ts'

const framed = (batch: Uint8Array): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(batch.length)
  return Buffer.concat([length, batch])
}

test('batches come out whole and in order, however their bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 8 }), fc.array(fc.nat(20)), (batches, cuts) => {
      const read: string[] = []
      const reader = new BatchReader((batch) => read.push(batch.toString('hex')) > 0)
      let rest = Buffer.concat(batches.map(framed))
      for (const cut of cuts) {
        expect(reader.read(rest.subarray(0, cut))).toBe(true)
        rest = rest.subarray(cut)
      }
      expect(reader.read(rest)).toBe(true)
      expect(read).toEqual(batches.map((batch) => Buffer.from(batch).toString('hex')))
    }),
  )
})

test('a batch that is too long is refused before its bytes come', () => {
  expect(new BatchReader(() => true).read(Buffer.from([0x7f, 0xff, 0xff, 0xff]))).toBe(false)
})

test('reading ends with a batch that is not accepted', () => {
  const read: number[] = []
  const reader = new BatchReader((batch) => read.push(batch.length) < 2)
  expect(reader.read(Buffer.concat([framed(Buffer.alloc(1)), framed(Buffer.alloc(2)), framed(Buffer.alloc(3))]))).toBe(false)
  expect(read).toEqual([1, 2])
})
