import { expect, test } from 'vitest'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'
import { type Handled, Inflow } from './inflow.ts'

const message = (id: string): Stanza => parseStanza(`<message id='${id}'/>` as Wire)
const request = (id: string): Stanza => parseStanza(`<iq id='${id}' type='set'/>` as Wire)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Requests whose ids begin with the same letter may be under way together, `p` and `q`; each is answered when the test says so. */
class Stage extends Inflow {
  readonly begun: string[] = []
  readonly #answers = new Map<string, PromiseWithResolvers<undefined>>()

  protected handle({ id = '', kind }: Stanza): Handled | Promise<Handled> {
    this.begun.push(id)
    if (kind === 'message') return undefined
    const [letter = ''] = id
    if ('pq'.includes(letter)) this.letFollow((next) => next.kind === 'iq' && next.id?.startsWith(letter) === true)
    const answer = Promise.withResolvers<undefined>()
    this.#answers.set(id, answer)
    return answer.promise
  }
  protected failed(): void {
    this.begun.push('failed')
  }
  protected pause(): void {
    return
  }
  protected resume(): void {
    return
  }

  async answers(...ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#answers.get(id)?.resolve(undefined)
    await turn()
  }
  async breaks(id: string): Promise<void> {
    this.#answers.get(id)?.reject(new Error(id))
    await turn()
  }
}

const receives = (...stanzas: readonly Stanza[]): Stage => {
  const stage = new Stage()
  for (const stanza of stanzas) stage.receive(stanza)
  return stage
}

test('RFC 6120 §10.1: requests whose handler keeps their order are under way together, and everything else waits for them', async () => {
  const stage = receives(request('p1'), request('p2'), message('m3'), request('p4'))
  expect(stage.begun).toEqual(['p1', 'p2'])
  await stage.answers('p1')
  expect(stage.begun).toEqual(['p1', 'p2'])
  await stage.answers('p2')
  expect(stage.begun).toEqual(['p1', 'p2', 'm3', 'p4'])
  await stage.answers('p4')
  expect(stage.handled).toBe(4)
})

test('requests of another kind wait, and then let their own follow', async () => {
  const stage = receives(request('p1'), request('q2'), request('q3'), request('p4'), request('x5'), request('x6'))
  expect(stage.begun).toEqual(['p1'])
  await stage.answers('p1')
  expect(stage.begun).toEqual(['p1', 'q2', 'q3'])
  await stage.answers('q2', 'q3', 'p4')
  expect(stage.begun).toEqual(['p1', 'q2', 'q3', 'p4'])
  await stage.answers('p4')
  expect(stage.begun).toEqual(['p1', 'q2', 'q3', 'p4', 'x5'])
})

test('XEP-0198 §4: an answer that comes before those in front of it counts behind them', async () => {
  const stage = receives(request('p1'), request('p2'), request('p3'))
  const told: number[] = []
  stage.whenHandled(() => told.push(stage.handled))
  await stage.answers('p2')
  await stage.breaks('p3')
  expect([stage.handled, told]).toEqual([0, []])
  await stage.answers('p1')
  expect([stage.handled, told, stage.begun]).toEqual([3, [3], ['p1', 'p2', 'p3', 'failed']])
})

test('sixteen are under way together, no more', async () => {
  const stage = receives(...Array.from({ length: 20 }, (_, i) => request(`p${i}`)))
  expect(stage.begun).toHaveLength(16)
  await stage.answers(...stage.begun)
  expect(stage.begun).toHaveLength(20)
})
