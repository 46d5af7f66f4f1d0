import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import type { NodeId } from '#server/core/bus.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { wire } from '#stanzas/wire.ts'
import type { Carrier, CarrierEvents } from './carrier.ts'
import { decodeBatch, encodeFramesHead, encodeMessage, encodeReply, encodeRequest, MalformedBatchError } from './frames.ts'
import { Links } from './links.ts'
import { openSoloBus } from './solo-bus.ts'

const turn = () => new Promise(setImmediate)

/** A carrier between nodes of one process, which loses what it is told to lose. */
const lossyNet = () => {
  const nodes = new Map<number, CarrierEvents>()
  const net = { batches: 0, losesNext: false }
  const carrierOf = (self: NodeId): Carrier => ({
    async start(events) {
      nodes.set(self.epoch, events)
    },
    carry(to, batch) {
      net.batches += 1
      const isLost = net.losesNext
      net.losesNext = false
      if (!isLost) setImmediate(() => nodes.get(to.epoch)?.batch(Buffer.from(batch, 'latin1')))
      return true
    },
    queuedBytes: () => 0,
    drop() {},
    close: async () => {},
  })
  return { net, nodes, carrierOf }
}

const pair = async (isValid = () => true) => {
  const { net, nodes, carrierOf } = lossyNet()
  const clock = new FakeClock()
  const [a, b] = [
    { name: 'a', epoch: 1 },
    { name: 'b', epoch: 2 },
  ]
  const [one, two] = [
    await Links.open(carrierOf(a), { self: a, clock, log: nullLog, isValid }),
    await Links.open(carrierOf(b), { self: b, clock, log: nullLog }),
  ]
  nodes.get(1)?.candidate(b)
  for (let turns = 0; turns < 8; turns += 1) await turn()
  return { net, nodes, clock, one, two }
}

describe('links', () => {
  test('what is sent to a peer in one turn is one batch', async () => {
    const { net, one, two } = await pair()
    const notes: string[] = []
    two.onMessage('note', (_, payload) => void notes.push(payload))
    // Two that found each other are silent.
    net.batches = 0
    for (let turns = 0; turns < 5; turns += 1) await turn()
    expect(net.batches).toBe(0)
    for (let index = 0; index < 100; index += 1) one.send(two.self, 'note', wire(String(index)))
    await turn()
    await turn()
    expect([net.batches, notes.length]).toEqual([1, 100])
  })

  test('whatever is lost, what arrives between found and lost is what was sent then, in order and whole; both sides see the link end', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant('send' as const) },
      { weight: 2, arbitrary: fc.constant('lose' as const) },
      { weight: 3, arbitrary: fc.constant('turn' as const) },
      { weight: 1, arbitrary: fc.constant('tick' as const) },
      { weight: 1, arbitrary: fc.constant('interrupt' as const) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 60 }), async (steps) => {
        const { net, nodes, clock, one, two } = await pair()
        let next = 0
        const sent = new Set<number>()
        const received: number[] = []
        let since = -1
        two.onMessage('note', (_, payload) => {
          // Once, in order, and without a gap since the link began.
          const value = Number(payload)
          if (since >= 0) expect(value).toBe(since + 1)
          expect(sent.has(value)).toBe(true)
          expect(received.at(-1) ?? -1).toBeLessThan(value)
          received.push(value)
          since = value
        })
        two.onPeerLost(() => (since = -1))
        const lost = { one: 0, two: 0 }
        one.onPeerLost(() => (lost.one += 1))
        two.onPeerLost(() => (lost.two += 1))
        for (const [kind, isFirst] of steps) {
          if (kind === 'send') {
            if (one.send(two.self, 'note', wire(String(next)))) sent.add(next)
            // What is refused leaves no number out.
            if (sent.has(next)) next += 1
          } else if (kind === 'lose') net.losesNext = true
          else if (kind === 'turn') await turn()
          else if (kind === 'tick') clock.advance(1_000)
          else nodes.get(isFirst ? 1 : 2)?.interruptedAll()
        }
        net.losesNext = false
        for (let turns = 0; turns < 40; turns += 1) {
          if (turns % 10 === 0) clock.advance(1_000)
          await turn()
        }
        // One batch may have been lost without another behind it; then the next shows it.
        if (one.send(two.self, 'note', wire(String(next)))) sent.add(next)
        for (let turns = 0; turns < 40; turns += 1) {
          if (turns % 10 === 0) clock.advance(1_000)
          await turn()
        }
        expect(one.isLinked(two.self) && two.isLinked(one.self)).toBe(true)
        if (received.length < sent.size) expect(lost.one).toBeGreaterThan(0)
      }),
      { numRuns: 200 },
    )
  })

  test('a node that is one no more sends nothing and takes nothing', async () => {
    let isNode = true
    const { one, two } = await pair(() => isNode)
    const notes: string[] = []
    for (const bus of [one, two]) bus.onMessage('note', (from) => void notes.push(from.name))
    one.send(two.self, 'note', wire('queued'))
    two.send(one.self, 'note', wire('under way'))
    isNode = false
    await turn()
    await turn()
    expect(one.send(two.self, 'note', wire('late'))).toBe(false)
    expect(notes).toEqual([])
  })

  test('kinds are words, and have one handler each', async () => {
    const bus = await openSoloBus({ self: { name: 'a', epoch: 1 }, clock: new FakeClock(), log: nullLog })
    bus.onMessage('note', () => {})
    expect(() => bus.onMessage('note', () => {})).toThrow('has a handler already')
    for (const kind of ['', 'two words', 'ü', 'x'.repeat(256)])
      expect(() => bus.send(bus.self, kind, wire(''))).toThrow('no kind')
  })

  test('alone, a node has only itself', async () => {
    const bus = await openSoloBus({ self: { name: 'a', epoch: 1 }, clock: new FakeClock(), log: nullLog })
    bus.onRequest('question', (from, payload) => wire(`${from.name}: ${payload}`))
    await expect(bus.request(bus.self, 'question', wire('hello'))).resolves.toBe('a: hello')
    expect([bus.peers(), bus.send({ name: 'b', epoch: 2 }, 'note', wire(''))]).toEqual([[], false])
    await bus.close()
    expect(bus.send(bus.self, 'note', wire(''))).toBe(false)
  })
})

describe('frames', () => {
  test('any bytes are a batch, or refused as none', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .tuple(fc.integer({ min: 0, max: 4 }), fc.uint8Array({ maxLength: 60 }))
        .map(([type, rest]) => [...[type, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], ...rest]),
    )
    fc.assert(
      fc.property(bytes, (batch) => {
        try {
          decodeBatch(Buffer.from(batch))
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBatchError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('what is cut short is no batch, wherever it is cut between frames', () => {
    const head = encodeFramesHead({ epoch: 1_795_000_000_123, generation: 3, number: 4 })
    const frames = [encodeMessage('note', wire('a')), encodeRequest(7, 'question', wire('')), encodeReply(9, wire('\xff\x00'))]
    const whole = head + frames.join('')
    const ends = [head.length, head.length + (frames[0]?.length ?? 0), whole.length - (frames[2]?.length ?? 0), whole.length]
    for (let end = 0; end <= whole.length; end += 1) {
      const decode = () => decodeBatch(Buffer.from(whole.slice(0, end), 'latin1'))
      if (ends.includes(end))
        expect(decode()).toMatchObject({ type: 'frames', epoch: 1_795_000_000_123, generation: 3, number: 4 })
      else expect(decode).toThrow(MalformedBatchError)
    }
  })
})
