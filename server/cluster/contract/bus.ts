import { afterEach, describe, expect, test } from 'vitest'
import { type Bus, BusError, type NodeId } from '#server/core/bus.ts'
import type { FakeClock } from '#server/testing/fake-clock.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import { encodeFramesHead, encodeMessage } from '../frames.ts'
import type { LinkLimits } from '../links.ts'
import { until } from './until.ts'

/** A kind of bus between nodes. */
export interface BusSubject {
  readonly name: string
  place(): Promise<BusPlace>
}

/** Where the nodes of one test are. */
export interface BusPlace {
  readonly clock: FakeClock
  open(name: string, limits?: Partial<LinkLimits>): Promise<Bus>
  /** Brings bytes to a node the way batches come. */
  inject(to: NodeId, batch: Buffer): Promise<void>
  remove(): Promise<void>
}

const EVERY_OCTET = wire(String.fromCharCode(...Array.from({ length: 256 }, (_, index) => index)))

/** Keeps what a bus receives of a kind, and who is found and lost. */
export const recorded = (bus: Bus, kind = 'note') => {
  const notes: string[] = []
  const peers: string[] = []
  bus.onMessage(kind, (from, payload) => void notes.push(`${from.name}: ${payload}`))
  bus.onPeerFound(({ name }) => void peers.push(`+${name}`))
  bus.onPeerLost(({ name }) => void peers.push(`-${name}`))
  return { notes, peers }
}

export const linked = (a: Bus, b: Bus): Promise<void> => until(() => a.isLinked(b.self) && b.isLinked(a.self), 'a link')

/** What every bus between several nodes keeps to. */
export const busContract = (subject: BusSubject): void => {
  describe(`bus: ${subject.name}`, () => {
    let place: BusPlace | undefined
    const started = async () => {
      place = await subject.place()
      return place
    }
    const pair = async (limits: Partial<LinkLimits> = {}) => {
      const { open, clock, inject } = await started()
      const [verona, mantua] = [await open('verona', limits), await open('mantua', limits)]
      await linked(verona, mantua)
      return { verona, mantua, clock, open, inject }
    }
    afterEach(async () => {
      await place?.remove()
      place = undefined
    })

    test('nodes find each other, and messages, requests and answers keep their order', async () => {
      const { verona, mantua, open } = await pair()
      const padua = await open('padua')
      await Promise.all([linked(verona, padua), linked(mantua, padua)])
      expect(verona.peers().map(({ name }) => name)).toEqual(expect.arrayContaining(['mantua', 'padua']))

      const seen: Record<string, string[]> = { mantua: [], padua: [] }
      for (const bus of [mantua, padua]) {
        bus.onMessage('note', (_, payload) => void seen[bus.self.name]?.push(payload))
        bus.onRequest('question', (_, payload) => {
          seen[bus.self.name]?.push(payload)
          return wire(`re: ${payload}`)
        })
      }
      const expected: string[] = []
      const answers: Promise<Wire>[] = []
      for (let index = 0; index < 2_000; index += 1) {
        expected.push(String(index))
        for (const { self } of [mantua, padua]) {
          if (index % 7 === 0) answers.push(verona.request(self, 'question', wire(String(index))))
          else expect(verona.send(self, 'note', wire(String(index)))).toBe(true)
        }
        if (index % 100 === 0) await new Promise(setImmediate)
      }
      expect((await Promise.all(answers)).slice(0, 4)).toEqual(['re: 0', 're: 0', 're: 7', 're: 7'])
      await until(() => seen.mantua?.length === 2_000 && seen.padua?.length === 2_000, 'all of them')
      expect(seen).toEqual({ mantua: expected, padua: expected })
    })

    test('every octet arrives as it was sent, in payloads of any size', async () => {
      const { verona, mantua } = await pair()
      mantua.onRequest('echo', (_, payload) => payload)
      for (const payload of [wire(''), EVERY_OCTET, wire(EVERY_OCTET.repeat(20_000))]) {
        expect((await verona.request(mantua.self, 'echo', payload)) === payload).toBe(true)
      }
    })

    test('a request fails when the handler throws, when nobody handles it, and when it takes too long', async () => {
      const { verona, mantua, clock } = await pair()
      mantua.onRequest('broken', () => {
        throw new Error('a plague')
      })
      mantua.onRequest('slow', () => new Promise<never>(() => {}))
      await expect(verona.request(mantua.self, 'broken', wire(''))).rejects.toMatchObject({ reason: 'failed' })
      await expect(verona.request(mantua.self, 'unheard', wire(''))).rejects.toMatchObject({ reason: 'failed' })
      const late = expect(verona.request(mantua.self, 'slow', wire(''), 500)).rejects.toMatchObject({ reason: 'timeout' })
      clock.advance(500)
      await late
      mantua.onRequest('well', () => wire('yes'))
      await expect(verona.request(mantua.self, 'well', wire(''))).resolves.toBe('yes')
    })

    test('a handler that throws costs its own message only', async () => {
      const { verona, mantua } = await pair()
      const notes: string[] = []
      mantua.onMessage('note', (_, payload) => {
        notes.push(payload)
        if (payload === '1') throw new Error('a plague')
      })
      for (const payload of ['0', '1', '2']) verona.send(mantua.self, 'note', wire(payload))
      await until(() => notes.length === 3)
      expect(mantua.isLinked(verona.self)).toBe(true)
    })

    test('a node talks to itself as to others, in a later turn', async () => {
      const { verona } = await pair()
      const { notes } = recorded(verona)
      verona.onRequest('question', (from) => wire(from.name))
      expect(verona.send(verona.self, 'note', wire('1'))).toBe(true)
      expect(verona.send(verona.self, 'note', wire('2'))).toBe(true)
      expect(notes).toEqual([])
      await expect(verona.request(verona.self, 'question', wire(''))).resolves.toBe('verona')
      expect(notes).toEqual(['verona: 1', 'verona: 2'])
      await expect(verona.request(verona.self, 'unheard', wire(''))).rejects.toBeInstanceOf(BusError)
    })

    test('what is sent to nobody is refused', async () => {
      const { verona } = await pair()
      const nobody = { name: 'nobody', epoch: 1 }
      expect(verona.send(nobody, 'note', wire(''))).toBe(false)
      await expect(verona.request(nobody, 'note', wire(''))).rejects.toMatchObject({ reason: 'refused' })
    })

    test('a node that closes is lost at once, with the requests it had; the one that takes its name is another', async () => {
      const { verona, mantua, open } = await pair()
      const { peers } = recorded(verona)
      mantua.onRequest('slow', () => new Promise<never>(() => {}))
      const unanswered = expect(verona.request(mantua.self, 'slow', wire(''))).rejects.toMatchObject({ reason: 'lost' })
      await new Promise(setImmediate)
      await mantua.close()
      await unanswered
      expect(peers).toEqual(['-mantua'])
      expect(verona.send(mantua.self, 'note', wire(''))).toBe(false)

      const next = await open('mantua')
      await linked(verona, next)
      expect(peers).toEqual(['-mantua', '+mantua'])
      expect(next.self.epoch).toBeGreaterThan(mantua.self.epoch)
      const { notes } = recorded(next)
      expect(verona.send(mantua.self, 'note', wire('to the old one'))).toBe(false)
      verona.send(next.self, 'note', wire('to the new one'))
      await until(() => notes.length > 0)
      expect(notes).toEqual(['verona: to the new one'])
    })

    test('what was sent before a node closes arrives', async () => {
      const { verona, mantua } = await pair()
      const { notes, peers } = recorded(mantua)
      for (const payload of ['1', '2']) verona.send(mantua.self, 'note', wire(payload))
      await verona.close()
      await until(() => peers.length > 0)
      expect(notes).toEqual(['verona: 1', 'verona: 2'])
      expect(verona.send(mantua.self, 'note', wire('3'))).toBe(false)
    })

    test('a full queue refuses, says so, and takes more when it is empty; a payload larger than it goes alone', async () => {
      const { verona, mantua } = await pair({ queueBytes: 10_000 })
      const { notes } = recorded(mantua)
      const kilobyte = wire('x'.repeat(1_000))
      const taken = Array.from({ length: 30 }, () => verona.send(mantua.self, 'note', kilobyte))
      expect(taken.filter((isTaken) => isTaken)).toHaveLength(9)
      await expect(verona.request(mantua.self, 'question', kilobyte)).rejects.toMatchObject({ reason: 'refused' })
      await until(() => notes.length === 9)
      await until(() => verona.send(mantua.self, 'note', wire('y'.repeat(50_000))))
      await until(() => notes.length === 10)
      expect(mantua.isLinked(verona.self)).toBe(true)
    })

    test('requests that wait are bounded', async () => {
      const { verona, mantua } = await pair({ requests: 3 })
      const answers: ((payload: Wire) => void)[] = []
      mantua.onRequest('slow', () => new Promise((resolve) => void answers.push(resolve)))
      const waiting = Array.from({ length: 3 }, () => verona.request(mantua.self, 'slow', wire('')))
      await expect(verona.request(mantua.self, 'slow', wire(''))).rejects.toMatchObject({ reason: 'refused' })
      await until(() => answers.length === 3)
      for (const answer of answers) answer(wire('at last'))
      await expect(Promise.all(waiting)).resolves.toHaveLength(3)
    })

    test('bytes that are no batch break the link of whom they come from, for a moment, and no other', async () => {
      const { verona, mantua, open, clock, inject } = await pair()
      const padua = await open('padua')
      await Promise.all([linked(verona, padua), linked(mantua, padua)])
      const { notes, peers } = recorded(verona)
      const theirs = encodeFramesHead({ epoch: mantua.self.epoch, generation: 1, number: 0 })
      await inject(verona.self, Buffer.from(`${theirs}\xff\xff\xff\xffgarbage`, 'latin1'))
      await until(() => peers.length > 0)
      expect(peers).toEqual(['-mantua'])
      for (const garbage of ['', 'x', '\x09'.repeat(100), `\x01${'\xff'.repeat(20)}`]) {
        await inject(verona.self, Buffer.from(garbage, 'latin1'))
      }
      padua.send(verona.self, 'note', wire('still here'))
      await until(() => notes.length > 0)
      expect(notes).toEqual(['padua: still here'])

      await until(() => {
        clock.advance(1_000)
        return verona.isLinked(mantua.self) && mantua.isLinked(verona.self)
      }, 'mantua again')
      mantua.send(verona.self, 'note', wire('back'))
      await until(() => notes.length > 1)
      expect(notes).toEqual(['padua: still here', 'mantua: back'])
      expect(peers.filter((peer) => peer.endsWith('padua'))).toEqual([])
    })

    test('a batch of nobody, or of a link that was, changes nothing', async () => {
      const { verona, mantua, inject } = await pair()
      const { notes, peers } = recorded(verona)
      const frame = encodeMessage('note', wire('forged'))
      for (const epoch of [7, mantua.self.epoch]) {
        const batch = encodeFramesHead({ epoch, generation: 4_000_000_000, number: 0 }) + frame
        await inject(verona.self, Buffer.from(batch, 'latin1'))
      }
      mantua.send(verona.self, 'note', wire('true'))
      await until(() => notes.length > 0)
      expect(notes).toEqual(['mantua: true'])
      expect(peers).toEqual([])
    })
  })
}
