import { expect, test } from 'vitest'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Handled } from './inflow.ts'
import { type Outlet, Session, type SessionHost } from './session.ts'

type Outcome = Handled | Promise<Handled>

const address = (text: string): Address => {
  const parsed = parseJid(text)
  if (parsed === undefined) throw new Error(`${text} is no JID`)
  return parsed
}

const message = (id: string): Stanza => parseStanza(`<message id='${id}'/>` as Wire)
const request = (id: string): Stanza => parseStanza(`<iq id='${id}' type='get'/>` as Wire)

/** A session whose host does with each stanza what the test says, and which remembers everything. */
const stage = (handle: (stanza: Stanza) => Outcome, outbound: (stanza: Stanza) => Stanza | undefined = (stanza) => stanza) => {
  const begun: string[] = []
  const failed: string[] = []
  const sent: { data: Wire; mark: LogId | undefined }[] = []
  const reading: ('paused' | 'resumed')[] = []
  const outlet: Outlet = {
    send: (data, mark) => void sent.push({ data, mark }),
    isLagging: false,
    isAttached: true,
    pause: () => void reading.push('paused'),
    resume: () => void reading.push('resumed'),
    close: () => undefined,
    untaken: () => [],
  }
  const host: SessionHost = {
    handle(session, stanza) {
      begun.push(stanza.id ?? '')
      const outcome = handle(stanza)
      const stored = (settled: Handled): Handled => {
        if (settled === 'stored') session.ticket()
        return settled
      }
      return outcome instanceof Promise ? outcome.then(stored) : stored(outcome)
    },
    outbound: (_session, stanza) => outbound(stanza),
    onFailure: (_session, stanza, error) => void failed.push(`${stanza.id}: ${String(error)}`),
  }
  const session = new Session(address('juliet@verona.example/balcony'), outlet, host, 0)
  /** The message that has waited for the disk for longest is durable. */
  let settled = 0
  const settles = (): void => session.settle(++settled)
  return { session, begun, failed, sent, reading, settles }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('DESIGN P1: a message that is durable before one in front of it does not count before that', () => {
  const { session, begun } = stage((stanza) => (stanza.kind === 'message' ? 'stored' : undefined))
  for (const stanza of [message('m1'), message('m2'), message('m3'), request('q4')]) session.receive(stanza)
  session.settle(2)
  session.settle(3)
  expect([begun, session.handled]).toEqual([['m1', 'm2', 'm3'], 0])
  session.settle(1)
  expect([begun, session.handled]).toEqual([['m1', 'm2', 'm3', 'q4'], 4])
})

test('RFC 6120 §10.1: a stanza waits until the one before it is handled', async () => {
  const first = Promise.withResolvers<undefined>()
  const { session, begun } = stage((stanza) => (stanza.id === 'q1' ? first.promise : undefined))
  session.receive(request('q1'))
  session.receive(request('q2'))
  session.receive(message('m3'))
  expect(begun).toEqual(['q1'])
  expect([session.received, session.handled]).toEqual([3, 0])
  first.resolve(undefined)
  await turn()
  expect(begun).toEqual(['q1', 'q2', 'm3'])
  expect([session.received, session.handled]).toEqual([3, 3])
})

test('messages wait for the disk together, and a request waits for them', () => {
  const { session, begun, settles } = stage((stanza) => (stanza.kind === 'message' ? 'stored' : undefined))
  for (const stanza of [message('m1'), message('m2'), request('q3'), message('m4')]) session.receive(stanza)
  expect(begun).toEqual(['m1', 'm2'])
  settles()
  expect([begun, session.handled]).toEqual([['m1', 'm2'], 1])
  settles()
  expect([begun, session.handled]).toEqual([['m1', 'm2', 'q3', 'm4'], 3])
  settles()
  expect(session.handled).toBe(4)
})

test('a message that is stored only after some thought counts as one that waits for the disk', async () => {
  const { session, begun, settles } = stage((stanza) =>
    stanza.kind === 'message' ? Promise.resolve('stored' as const) : undefined,
  )
  session.receive(message('m1'))
  session.receive(request('q2'))
  await turn()
  expect([begun, session.handled]).toEqual([['m1'], 0])
  settles()
  expect([begun, session.handled]).toEqual([['m1', 'q2'], 2])
})

test('a stanza whose handling fails is handled, and the next one goes on', async () => {
  const { session, begun, failed } = stage((stanza) => {
    if (stanza.id === 'q1') throw new Error('at once')
    return stanza.id === 'q2' ? Promise.reject(new Error('later')) : undefined
  })
  for (const id of ['q1', 'q2', 'q3']) session.receive(request(id))
  await turn()
  expect(begun).toEqual(['q1', 'q2', 'q3'])
  expect(failed).toEqual(['q1: Error: at once', 'q2: Error: later'])
  expect(session.handled).toBe(3)
})

test('XEP-0198 §4: who asks is answered when all that came before is handled, and nothing that came after', () => {
  const { session, settles } = stage(() => 'stored')
  const told: string[] = []
  session.whenHandled(() => told.push('nothing to wait for'))
  session.receive(message('m1'))
  session.whenHandled(() => told.push(`first at ${session.handled}`))
  session.receive(message('m2'))
  session.whenHandled(() => told.push(`second at ${session.handled}`))
  expect(told).toEqual(['nothing to wait for'])
  settles()
  settles()
  expect(told).toEqual(['nothing to wait for', 'first at 1', 'second at 2'])
})

test('a message that waits for those in front of it goes on before an acknowledgement that covers it', async () => {
  const first = Promise.withResolvers<undefined>()
  const told: string[] = []
  const { session, settles } = stage((stanza) => {
    if (stanza.id === 'q1') return first.promise
    if (stanza.id === 'm2') return 'stored'
    return session.drained()?.then(() => void told.push('drained'))
  })
  for (const stanza of [request('q1'), message('m2'), message('m3')]) session.receive(stanza)
  session.whenHandled(() => told.push('acknowledged'))
  first.resolve(undefined)
  await turn()
  settles()
  await turn()
  expect(told).toEqual(['drained', 'acknowledged'])
  expect(session.drained()).toBeUndefined()
})

test('a client that sends faster than its stanzas are handled is not read for a while', async () => {
  const first = Promise.withResolvers<undefined>()
  const { session, begun, reading } = stage((stanza) => (stanza.id === 'q0' ? first.promise : undefined))
  for (let i = 0; i <= 64; i++) session.receive(request(`q${i}`))
  expect(reading).toEqual([])
  session.receive(request('q65'))
  expect(reading).toEqual(['paused'])
  first.resolve(undefined)
  await turn()
  expect(reading).toEqual(['paused', 'resumed'])
  expect(begun).toHaveLength(66)
})

test('a client that sends faster than the disk writes is not read for a while', () => {
  const { session, reading, settles } = stage(() => 'stored')
  for (let i = 0; i <= 512; i++) session.receive(message(`m${i}`))
  expect(reading).toEqual(['paused'])
  settles()
  expect(reading).toEqual(['paused', 'resumed'])
})

test('what leaves passes the hook point outbound, which may replace or keep back', () => {
  const { session, sent } = stage(
    () => undefined,
    (stanza) => (stanza.id === 'm2' ? undefined : stanza.restamp({ type: 'chat' })),
  )
  session.send(message('m1'), 7)
  session.send(message('m2'))
  session.write(message('m3'))
  expect(sent).toEqual([
    { data: "<message id='m1' type='chat'/>", mark: 7 },
    { data: "<message id='m3'/>", mark: undefined },
  ])
})

test('DESIGN P1: what is refused at once counts only when the messages in front of it are durable', () => {
  const { session, failed, settles } = stage((stanza) => {
    if (stanza.id?.startsWith('m') === true) return 'stored'
    throw new Error('refused')
  })
  const told: number[] = []
  session.receive(message('m1'))
  session.whenHandled(() => told.push(session.handled))
  for (const id of ['x2', 'm3', 'x4', 'x5']) session.receive(message(id))
  expect([failed.length, session.handled, told]).toEqual([3, 0, []])
  settles()
  expect([session.handled, told]).toEqual([2, [2]])
  settles()
  expect(session.handled).toBe(5)
})

test('requests for an acknowledgement that cannot be answered yet are not piled up without end', () => {
  const { session, reading, settles } = stage(() => 'stored')
  session.receive(message('m1'))
  for (let i = 0; i <= 64; i++) session.whenHandled(() => undefined)
  expect(reading).toEqual(['paused'])
  settles()
  expect(reading).toEqual(['paused', 'resumed'])
})

test('a session that has ended takes nothing and sends nothing; who waits for what is dropped waits no longer', async () => {
  const first = Promise.withResolvers<undefined>()
  const { session, begun, sent } = stage((stanza) => (stanza.id === 'q1' ? first.promise : undefined))
  let isTold = false
  session.receive(request('q1'))
  session.receive(request('q2'))
  session.whenHandled(() => {
    isTold = true
  })
  session.end()
  expect(isTold).toBe(true)
  session.receive(request('q3'))
  session.send(message('m1'))
  first.resolve(undefined)
  await turn()
  expect([begun, sent]).toEqual([['q1'], []])
  expect([session.received, session.handled]).toEqual([1, 1])
})

test('messages that a session received before it ended go on their way, up to the first request', async () => {
  const first = Promise.withResolvers<undefined>()
  const { session, begun } = stage((stanza) => (stanza.id === 'm1' ? first.promise : undefined))
  for (const stanza of [message('m1'), message('m2'), request('q3'), message('m4')]) session.receive(stanza)
  let isHandled = false
  session.end()
  session.whenHandled(() => {
    isHandled = true
  })
  expect(isHandled).toBe(false)
  first.resolve(undefined)
  await turn()
  expect([begun, session.handled, isHandled]).toEqual([['m1', 'm2'], 2, true])
})

test('a session that is ended for its account handles nothing more', async () => {
  const first = Promise.withResolvers<undefined>()
  const { session, begun } = stage((stanza) => (stanza.id === 'm1' ? first.promise : undefined))
  for (const id of ['m1', 'm2']) session.receive(message(id))
  session.end(true)
  first.resolve(undefined)
  await turn()
  expect(begun).toEqual(['m1'])
})
