import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { NodeId } from '#server/core/bus.ts'
import type { Home, Homes } from '#server/core/homes.ts'
import type { FakeClock } from '#server/testing/fake-clock.ts'
import { until } from './until.ts'

/** A kind of directory of homes for several nodes. */
export interface HomesSubject {
  readonly name: string
  place(): Promise<HomesPlace>
}

/** A node of a test. */
export interface HomesNode {
  readonly homes: Homes
  isLinked(node: NodeId): boolean
  /** Ends as by `kill -9`: nobody is told anything. What the others wait for before they believe it has passed when this returns. */
  dies(): Promise<void>
}

/** Where the nodes of one test are. */
export interface HomesPlace {
  readonly clock: FakeClock
  open(name: string): Promise<HomesNode>
  remove(): Promise<void>
}

const JULIET = 'juliet@verona.example'
const MINE: Home = { kind: 'mine' }
export const at = ({ homes }: HomesNode): Home => ({ kind: 'theirs', node: homes.self })

export const allLinked = (nodes: readonly HomesNode[]): Promise<void> =>
  until(() => nodes.every((node) => nodes.every((other) => node === other || node.isLinked(other.homes.self))), 'all links')

/** A node that dies leaves questions without an answer. */
const onlyHomesError = (error: unknown): void => expect(error).toMatchObject({ name: 'HomesError' })

/** What every directory of homes keeps to. */
export const homesContract = (subject: HomesSubject): void => {
  describe(`homes: ${subject.name}`, () => {
    let place: HomesPlace | undefined
    const nodes = async (...names: readonly string[]) => {
      const here = await subject.place()
      const { open, clock } = here
      place = here
      const opened: HomesNode[] = []
      for (const name of names) opened.push(await open(name))
      await allLinked(opened)
      const [a, b, c] = opened
      if (a === undefined || b === undefined) throw new Error('too few')
      return { a, b, c: c ?? b, clock, open }
    }
    afterEach(async () => {
      await place?.remove()
      place = undefined
    })

    test('the first to claim is the home, and everybody is told so', async () => {
      const { a, b, c } = await nodes('a', 'b', 'c')
      expect(a.homes.known(JULIET)).toBeUndefined()
      expect(await a.homes.homeOf(JULIET)).toBeUndefined()
      expect(await a.homes.claim(JULIET)).toEqual(MINE)
      expect(a.homes.known(JULIET)).toEqual(MINE)
      expect(await a.homes.claim(JULIET)).toEqual(MINE)
      expect(await b.homes.claim(JULIET)).toEqual(at(a))
      expect(await c.homes.homeOf(JULIET)).toEqual(at(a))
      expect([b.homes.known(JULIET), c.homes.known(JULIET)]).toEqual([at(a), at(a)])
      expect(await a.homes.homeOf(JULIET)).toEqual(MINE)
    })

    test('addresses keep their text, whatever it is', async () => {
      const { a, b } = await nodes('a', 'b')
      for (const address of ['ünïcode@verona.example', '日本@verona.example', "o'h{a}ra!%@x.example", '!expelled', '', 'a b'])
        expect([await a.homes.claim(address), await b.homes.homeOf(address)]).toEqual([MINE, at(a)])
    })

    test('of many claims at once one wins, and all agree', async () => {
      const { a, b, c } = await nodes('a', 'b', 'c')
      const addresses = Array.from({ length: 100 }, (_, index) => `${index}@verona.example`)
      const claims = await Promise.all(
        addresses.map((address) => Promise.all([a, b, c, a].map(({ homes }) => homes.claim(address)))),
      )
      for (const answers of claims) {
        const [first, second, third, again] = answers
        expect(again).toEqual(first)
        const winner = [a, b, c][[first, second, third].findIndex((answer) => answer?.kind === 'mine')]
        if (winner === undefined) throw new Error('nobody won')
        expect(answers.filter((answer) => answer.kind === 'theirs')).toEqual(
          answers.filter((answer) => answer.kind === 'theirs').map(() => at(winner)),
        )
      }
    })

    test('what is given up is free, and those who remembered it learn so', async () => {
      const { a, b, c } = await nodes('a', 'b', 'c')
      await a.homes.claim(JULIET)
      await b.homes.homeOf(JULIET)
      await c.homes.claim(JULIET)
      await a.homes.release(JULIET)
      expect(a.homes.known(JULIET)).toBeUndefined()
      await until(() => b.homes.known(JULIET) === undefined && c.homes.known(JULIET) === undefined, 'word of it')
      expect(await b.homes.homeOf(JULIET)).toBeUndefined()
      expect(await b.homes.claim(JULIET)).toEqual(MINE)
      expect(await a.homes.claim(JULIET)).toEqual(at(b))
      // Who is not the home gives nothing up.
      await a.homes.release(JULIET)
      expect(await c.homes.homeOf(JULIET)).toEqual(at(b))
    })

    test('claims and releases of one node happen in their order', async () => {
      const { a, b } = await nodes('a', 'b')
      const answers = [a.homes.claim(JULIET), a.homes.release(JULIET), a.homes.claim(JULIET)]
      await Promise.all(answers)
      await a.homes.release(JULIET)
      const again = a.homes.claim(JULIET)
      expect(await again).toEqual(MINE)
      expect(await b.homes.homeOf(JULIET)).toEqual(at(a))
    })

    test('an answer that was refused is read again', async () => {
      const { a, b } = await nodes('a', 'b')
      await a.homes.claim(JULIET)
      await b.homes.homeOf(JULIET)
      b.homes.forget(JULIET, { name: 'somebody', epoch: 1 })
      expect(b.homes.known(JULIET)).toEqual(at(a))
      b.homes.forget(JULIET, a.homes.self)
      expect(b.homes.known(JULIET)).toBeUndefined()
      expect(await b.homes.homeOf(JULIET)).toEqual(at(a))
    })

    test('the homes of a node that died are taken over; one that comes back under its name is another', async () => {
      const { a, b, c, open } = await nodes('a', 'b', 'c')
      await a.homes.claim(JULIET)
      await a.homes.claim('nurse@verona.example')
      await b.homes.homeOf(JULIET)
      await a.dies()
      await until(() => b.homes.known(JULIET) === undefined, 'b to forget')
      await until(async () => (await c.homes.homeOf(JULIET)) === undefined, 'c to see it')
      const claims = await Promise.all([b.homes.claim(JULIET), c.homes.claim(JULIET)])
      expect(claims.filter(({ kind }) => kind === 'mine')).toHaveLength(1)
      const reborn = await open('a')
      expect(reborn.homes.self.epoch).toBeGreaterThan(a.homes.self.epoch)
      expect(await reborn.homes.claim('nurse@verona.example')).toEqual(MINE)
      expect(await reborn.homes.claim(JULIET)).toEqual(await reborn.homes.homeOf(JULIET))
      expect((await reborn.homes.homeOf(JULIET))?.kind).toBe('theirs')
    })

    test('a node that closes has given up everything', async () => {
      const { a, b } = await nodes('a', 'b')
      await a.homes.claim(JULIET)
      await a.homes.close()
      await expect(a.homes.claim(JULIET)).rejects.toMatchObject({ name: 'HomesError', reason: 'fenced' })
      expect(await b.homes.claim(JULIET)).toEqual(MINE)
    })

    test('every node has a number of its own, below 256', async () => {
      const { a, b, c } = await nodes('a', 'b', 'c')
      const numbers = [a, b, c].map(({ homes }) => homes.number)
      expect(new Set(numbers).size).toBe(3)
      expect(numbers.every((number) => Number.isInteger(number) && number >= 0 && number < 256)).toBe(true)
    })

    test('two nodes of one name: the second is refused', async () => {
      const { open, clock } = await nodes('a', 'b')
      let end: unknown
      const second = open('a').catch((error: unknown) => (end = error))
      // Where a lease has to end first, it does not: its node lives.
      await until(() => {
        clock.advance(1_000)
        return end !== undefined
      }, 'a refusal')
      await second
      expect(end).toMatchObject({ name: 'HomesError', reason: 'name-in-use' })
    })

    test('in any history, no address has two homes that live', async () => {
      const names = ['a', 'b', 'c']
      const address = fc.integer({ min: 0, max: 3 }).map((index) => `${index}@verona.example`)
      const node = fc.integer({ min: 0, max: 2 })
      const step = fc.oneof(
        { weight: 6, arbitrary: fc.record({ kind: fc.constant('claim' as const), node, address }) },
        { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), node, address }) },
        { weight: 3, arbitrary: fc.record({ kind: fc.constant('homeOf' as const), node, address }) },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('dies' as const), node, address }) },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), node, address }) },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
          const here = await subject.place()
          try {
            const living: HomesNode[] = []
            for (const name of names) living.push(await here.open(name))
            const running: Promise<unknown>[] = []
            const oneHome = () => {
              for (let index = 0; index < 4; index += 1) {
                const holders = living.filter(({ homes }) => homes.known(`${index}@verona.example`)?.kind === 'mine')
                expect(holders.length).toBeLessThan(2)
              }
            }
            for (const { kind, node: index, address } of steps) {
              const one = living[index]
              if (one === undefined) continue
              if (kind === 'settle') await Promise.all(running)
              else if (kind === 'dies') {
                await one.dies()
                living[index] = await here.open(names[index] ?? '')
              } else running.push(one.homes[kind](address).then(oneHome, onlyHomesError))
              oneHome()
            }
            await Promise.all(running)
            await allLinked(living)
            for (let index = 0; index < 4; index += 1) {
              const claims = await Promise.all(living.map(({ homes }) => homes.claim(`${index}@verona.example`)))
              expect(claims.filter(({ kind }) => kind === 'mine')).toHaveLength(1)
            }
          } finally {
            await here.remove()
          }
        }),
        { numRuns: 25 },
      )
    }, 120_000)
  })
}
