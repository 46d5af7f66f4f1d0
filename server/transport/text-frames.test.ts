import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TextFrames } from './text-frames.ts'

interface Frame {
  readonly first: number
  readonly payload: Buffer
}

/** RFC 6455 §5.2, §5.3: a client's frame. */
const frame = (first: number, payload: Buffer, mask = Buffer.from([1, 2, 3, 4])): Buffer => {
  const { length } = payload
  const head = length < 126 ? Buffer.from([first, 0x80 | length]) : Buffer.alloc(length < 65_536 ? 4 : 10)
  if (length >= 126) {
    head[0] = first
    head[1] = 0x80 | (length < 65_536 ? 126 : 127)
    if (length < 65_536) head.writeUInt16BE(length, 2)
    else head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, mask, Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0)))])
}

const read = (pieces: readonly Buffer[], maxBytes = 100_000): { readonly texts: readonly string[]; readonly passed: Buffer } => {
  const texts: string[] = []
  const passed: Buffer[] = []
  const frames = new TextFrames(maxBytes, {
    onText: (payload) => void texts.push(payload.toString('latin1')),
    passOn: (bytes) => void passed.push(Buffer.from(bytes)),
  })
  for (const piece of pieces) frames.read(Buffer.from(piece))
  return { texts, passed: Buffer.concat(passed) }
}

test('RFC 6455 §5.2: whole text frames of every length are read', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536]) {
    const payload = Buffer.alloc(length, 'xyzzy')
    expect(read([frame(0x81, payload), frame(0x81, payload)].map((each) => each))).toEqual({
      texts: [payload.toString('latin1'), payload.toString('latin1')],
      passed: Buffer.alloc(0),
    })
  }
})

test('RFC 6455 §5.4, §5.5: everything else is passed on to the last byte', () => {
  const text = Buffer.from('hello')
  const others = {
    fragments: [frame(0x01, text), frame(0x89, text), frame(0x81, text), frame(0x80, text)],
    ping: [frame(0x89, text)],
    close: [frame(0x88, Buffer.from([3, 232]))],
    binary: [frame(0x82, text)],
    reserved: [frame(0xc1, text), frame(0x83, text)],
    unmasked: [Buffer.from([0x81, 2, 104, 105])],
    'too long': [frame(0x81, Buffer.alloc(200))],
  }
  for (const [what, frames] of Object.entries(others)) {
    const before = frame(0x81, Buffer.from('before'))
    const result = read([Buffer.concat([before, ...frames])], 100)
    expect(result.texts, what).toEqual(['before'])
    expect(result.passed.equals(Buffer.concat(frames)), what).toBe(true)
  }
})

test('RFC 6455 §5.4: after the last fragment, whole frames are read again', () => {
  const fragments = [frame(0x01, Buffer.from('a')), frame(0x80, Buffer.from('b'))]
  expect(read([Buffer.concat([...fragments, frame(0x81, Buffer.from('c'))])])).toEqual({
    texts: ['c'],
    passed: Buffer.concat(fragments),
  })
})

test('however the bytes are cut, each frame is read or passed on, whole and in order', () => {
  const frames = fc.array(
    fc.record({
      first: fc.constantFrom(0x81, 0x81, 0x81, 0x89, 0x8a, 0x01, 0x80),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    }),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (list: readonly Frame[], cuts) => {
      const whole = Buffer.concat(list.map(({ first, payload }) => frame(first, payload)))
      const pieces: Buffer[] = []
      for (let at = 0, n = 0; at < whole.length; n++) {
        const size = cuts[n % cuts.length] ?? 1
        pieces.push(whole.subarray(at, at + size))
        at += size
      }
      const { texts, passed } = read(pieces)
      // What is put together again from both ways is what was sent.
      const rest = list.filter(({ first, payload }) => {
        const i = first === 0x81 ? texts.indexOf(payload.toString('latin1')) : -1
        return i < 0
      })
      expect(passed.length).toBeGreaterThanOrEqual(rest.reduce((sum, { payload }) => sum + payload.length, 0))
      expect(passed.length + texts.reduce((sum, text) => sum + frame(0x81, Buffer.from(text, 'latin1')).length, 0)).toBe(
        whole.length,
      )
    }),
    { numRuns: 300 },
  )
})
