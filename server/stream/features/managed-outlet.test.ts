import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { Session } from '#server/core/session.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { type Wire, wire } from '#stanzas/wire.ts'
import type { Expiring } from '#storage/shapes.ts'
import type { StanzaSink } from '../outlet.ts'
import { ManagedOutlet } from './managed-outlet.ts'
import { Records, type ResumeRecord } from './recording.ts'

const ADDRESS: Address | undefined = parseJid('juliet@verona.example/balcony')

/** A session of which a record is kept in a store that answers when it is told to, with a client that is there or not. */
const stage = () => {
  if (ADDRESS === undefined) throw new Error('no address')
  const clock = new FakeClock()
  const puts: (() => void)[] = []
  const storage: Expiring<ResumeRecord> = {
    get: async () => undefined,
    put: () => new Promise<void>((resolve) => puts.push(resolve)),
    take: async () => undefined,
    delete: async () => true,
    list: async () => [],
  }
  const limits = { queuedBytes: 65_536, unackedStanzas: 5_000, unackedBytes: 65_536 }
  const on = { taken: () => undefined, room: () => undefined, overflow: () => undefined }
  const outlet = new ManagedOutlet(undefined, { acked: 0, sent: [] }, limits, on)
  const host = { handle: () => undefined, outbound: () => undefined, onFailure: () => undefined }
  const session = new Session(ADDRESS, outlet, host, 0)
  const records = new Records({ storage, clock, log: nullLog, carried: new Map() })
  outlet.recordBy(records.keep('token', session, outlet, 0))
  const written: Wire[] = []
  const take = (data: Wire): void => void (data.startsWith('<message') && written.push(data))
  const sink: StanzaSink = {
    ...{ write: take, writeStanza: take, queuedBytes: 0, afterFlush: () => undefined },
    ...{ pause: () => undefined, resume: () => undefined, close: () => undefined },
  }
  return { clock, outlet, puts, sink, written }
}

const [A, B] = [wire('<message id="a"/>'), wire('<message id="b"/>')]

test('XEP-0198 §5: what waits for a record goes when it is written', async () => {
  const { outlet, puts, sink, written } = stage()
  outlet.attach(sink, 0)
  outlet.send(A, 1)
  await turn()
  expect(written).toEqual([])
  puts.shift()?.()
  await turn()
  expect(written).toEqual([A])
})

test('XEP-0198 §5: what is sent again comes before what is new, also while the store does not answer', async () => {
  const { clock, outlet, puts, sink, written } = stage()
  outlet.send(A, 1)
  await turn()
  clock.advance('3s')
  outlet.attach(sink, 0)
  outlet.send(B, 2)
  expect(written).toEqual([A, B])
  while (puts.length > 0) {
    puts.shift()?.()
    await turn()
  }
  expect(written).toEqual([A, B])
})
