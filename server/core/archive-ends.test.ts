import { expect, test } from 'vitest'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { conversation, xml } from '#server/testing/conversation.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { MemoryDriver } from '#storage/memory/driver.ts'
import type { Log } from '#storage/shapes.ts'
import { ArchiveEnds } from './archive-ends.ts'

const modules = [presence, offline]
const JULIET = 'juliet@verona.example' as BareJid
const hello = xml`<message to="${JULIET}" type="chat"><body>Hello</body></message>`

conversation(
  'XEP-0313 §5: the ends of an archive are read once, and move with what is added and removed',
  { modules, carriers: ['memory'], nodes: 1 },
  async ({ comesOnline, clock, driver, server, settle }) => {
    const { ledger } = server
    const romeo = await comesOnline('romeo@verona.example/orchard')
    const juliet = await comesOnline(`${JULIET}/balcony`)
    const ids = async (): Promise<readonly number[]> => (await driver.log.range(JULIET, { limit: 10 })).map(({ id }) => id)
    const ends = (): readonly unknown[] => {
      const known = ledger.ends(JULIET)
      return known instanceof Promise ? ['unknown'] : [known?.first.id, known?.last.id]
    }
    expect(await ledger.ends(JULIET)).toBeUndefined()
    expect(ends()).toEqual([undefined, undefined])

    for (let n = 0; n < 3; n++) {
      clock.advance('1s')
      await romeo.sends(hello)
      await juliet.next()
      await settle()
    }
    const [first = 0, second = 0, third = 0] = await ids()
    expect(ends()).toEqual([first, third])
    await ledger.delete(JULIET, [first])
    expect(ends()).toEqual(['unknown'])
    await settle()
    expect(ends()).toEqual([second, third])

    await ledger.expire(JULIET, clock.nowMs() + 1, 10)
    expect(await ledger.ends(JULIET)).toBeUndefined()
    expect(ends()).toEqual([undefined, undefined])
  },
)

const counted = (log: Log): { readonly log: Pick<Log, 'range'>; readonly reads: () => number } => {
  let count = 0
  return {
    log: {
      range(...query) {
        count++
        return log.range(...query)
      },
    },
    reads: () => count,
  }
}

test('what was read while something was added is not remembered', async () => {
  const clock = new FakeClock()
  const { log, reads } = counted(new MemoryDriver({ nowMs: () => clock.nowMs() }).log)
  const ends = new ArchiveEnds(log, clock, true)
  const read = ends.of(JULIET)
  ends.added(JULIET, { id: 1, atMs: 1 })
  await read
  expect(ends.of(JULIET)).toBeInstanceOf(Promise)
  expect(reads()).toBe(4)
})

test('where others write to the log, too, nothing is remembered', async () => {
  const clock = new FakeClock()
  const { log, reads } = counted(new MemoryDriver({ nowMs: () => clock.nowMs() }).log)
  const ends = new ArchiveEnds(log, clock, false)
  await ends.of(JULIET)
  await ends.of(JULIET)
  expect(reads()).toBe(4)
})
