import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { MemoryFleet } from '#server/testing/memory-bus.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { Residence } from './residence.ts'
import { Sessions } from './sessions.ts'

const ROMEO = 'romeo@verona.example' as BareJid

const someTurns = async (): Promise<void> => {
  for (let turns = 0; turns < 50; turns++) await turn()
}

/** Nodes on which what is read of an account when it comes takes until it is said to be there. */
const nodesOf = async (count: number) => {
  const clock = new FakeClock()
  const fleet = new MemoryFleet(clock)
  onTestFinished(() => fleet.close())
  const reads: (() => void)[] = []
  const residences: Residence[] = []
  for (let at = 0; at < count; at++) {
    const { bus, homes } = await fleet.join(`n${at}`)
    residences.push(
      new Residence({
        ...{ homes, bus, clock, sessions: new Sessions() },
        exists: () => true,
        onCame: () => new Promise((resolve) => reads.push(resolve)),
        onLeft: () => undefined,
        isRemembered: () => false,
      }),
    )
  }
  await someTurns()
  return { residences, reads }
}

test('decision 0010: an account to which devices log in over several nodes at the same moment has one home', async () => {
  const { residences, reads } = await nodesOf(2)
  const welcomes = residences.map((residence) => residence.welcome(ROMEO))
  await someTurns()
  for (const read of reads.splice(0)) read()
  await someTurns()
  for (const read of reads.splice(0)) read()
  const places = await Promise.all(welcomes)
  expect(residences.map((residence) => residence.isHere(ROMEO)).filter((isHere) => isHere)).toHaveLength(1)
  expect(places.map((place) => place === 'here')).toEqual(residences.map((residence) => residence.isHere(ROMEO)))
})
