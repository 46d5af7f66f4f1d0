import { afterEach, beforeEach, describe, test } from 'vitest'
import type { BareJid } from '#stanzas/jid.ts'
import type { Wire } from '#stanzas/wire.ts'
import type { Driver } from '../driver.ts'
import type { Log, LogId, LogPlace, LogRecord } from '../shapes.ts'

/** A database that the contract is run against: a place of its own for each test, opened as often as the test likes. */
export interface Subject {
  readonly name: string
  readonly isPersistent: boolean
  /** Makes an empty place and gives what opens it, and what removes it. */
  place(options: { readonly nowMs: () => number }): Promise<Place>
}

export interface Place {
  open(): Promise<Driver>
  remove(): Promise<void>
}

/** What a test of the contract sees: the open driver, its clock, and a way to close and open it again. */
export interface Stage {
  driver: Driver
  nowMs: number
  reopen(): Promise<Driver>
}

/** Runs a suite with a freshly opened driver for each test. */
export const onStage = (subject: Subject, title: string, suite: (stage: Stage) => void): void => {
  describe(`${subject.name}: ${title}`, () => {
    let place: Place | undefined
    const stage: Stage = {
      get driver(): Driver {
        throw new Error('the stage is not set')
      },
      nowMs: 0,
      async reopen() {
        await stage.driver.close()
        if (place !== undefined) setDriver(await place.open())
        return stage.driver
      },
    }
    const setDriver = (driver: Driver) => Object.defineProperty(stage, 'driver', { value: driver, configurable: true })
    beforeEach(async () => {
      stage.nowMs = 1_000_000
      place = await subject.place({ nowMs: () => stage.nowMs })
      setDriver(await place.open())
    })
    afterEach(async () => {
      await stage.driver.close()
      await place?.remove()
    })
    suite(stage)
  })
}

/** `test` for what only a database can do that outlives its process; for others there is no such test. */
export const testKept = (subject: Subject): ((title: string, body: () => Promise<void>) => void) =>
  subject.isPersistent ? test : () => undefined

/** Takes any text for a bare JID: drivers must keep whatever they are handed. */
export const jid = (text: string): BareJid => text as BareJid

export const romeo = jid('romeo@verona.example')
export const juliet = jid('juliet@verona.example')
export const tybalt = jid('tybalt@verona.example')

export const place = (
  owner: BareJid,
  peer: string,
  direction: 'in' | 'out',
  isPending = false,
  isTransient = false,
): LogPlace => ({
  owner,
  peer,
  direction,
  isPending,
  isTransient,
})

/** A message from Romeo to Juliet: his copy, and hers that no device has taken yet. */
export const message = (id: LogId, change: Partial<LogRecord> = {}): LogRecord => ({
  id,
  atMs: id * 1000,
  stanza: `<message id="m${id}"/>` as Wire,
  isText: true,
  places: [place(romeo, juliet, 'out'), place(juliet, romeo, 'in', true)],
  ...change,
})

/** Appends and waits until it is durable. */
export const append = (log: Log, record: LogRecord): Promise<void> =>
  new Promise((resolve, reject) => log.append(record, (error) => (error === undefined ? resolve() : reject(error))))

export const idsOf = (entries: readonly { readonly id: LogId }[]): readonly LogId[] => entries.map(({ id }) => id)

/** Indexes filled after every few entries, a little at a time, so that small tests cross every seam between memory and disk. */
export const SMALL_PACE = {
  entriesPerPass: 5,
  marksPerPass: 3,
  ownersPerSlice: 1,
  entriesPerSlice: 100,
  marksPerSlice: 1,
  entriesPerLook: 4,
  findsPerLook: 2,
  unsortedEntries: 2,
  unreadEntries: 1,
  peersPerStep: 2,
  entriesPerStep: 3,
  textsPerStep: 2,
  wordsPerStep: 3,
}

/** Keys that a careless store would mix up, cut or misread. */
export const hostileKeys: readonly string[] = [
  '',
  '/',
  '//',
  '..',
  '%',
  '_',
  "'; DROP TABLE documents; --",
  'a\u0000b',
  'a',
  'é',
  'e\u0301',
  '\u{1f339}',
  '\uffee',
  'long'.repeat(5000),
]
