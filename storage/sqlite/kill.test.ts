import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { jid } from '../contract/subject.ts'
import type { LogEntry } from '../shapes.ts'
import { SqliteDriver } from './driver.ts'

const CHILD = fileURLToPath(new URL('./killed.child.ts', import.meta.url))
const KILLS = 10
const OWNERS = 40

const durable = { appended: new Set<number>(), cleared: new Set<number>(), counted: 0 }

/** Runs the child on this folder until it has reported so many facts, then kills it in the middle of whatever it does. */
const runAndKill = async (folder: string, facts: number): Promise<void> => {
  const child = spawn(process.execPath, [CHILD, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let seen = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, value] = line.split(' ')
    if (word === 'counted') durable.counted = Number(value)
    if (word === 'appended' || word === 'cleared') durable[word].add(Number(value))
    seen += 1
    if (seen === facts) child.kill('SIGKILL')
  }
  expect(await exited).toEqual([null, 'SIGKILL'])
}

const readAll = async (driver: SqliteDriver): Promise<Map<number, LogEntry[]>> => {
  const found = new Map<number, LogEntry[]>()
  for (let index = 0; index < OWNERS; index += 1) {
    const owner = jid(`a${index}@verona.example`)
    const entries = await driver.log.range(owner, { limit: Number.POSITIVE_INFINITY })
    expect(entries.map(({ id }) => id)).toEqual(entries.map(({ id }) => id).toSorted((a, b) => a - b))
    expect(await driver.log.countPending(owner)).toBe(entries.filter(({ isPending }) => isPending).length)
    for (const entry of entries) found.set(entry.id, [...(found.get(entry.id) ?? []), entry])
  }
  return found
}

test('P4: nothing that was reported durable is missing after kill -9, ten times over, and no mark comes back', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-kill-'))
  for (let kill = 1; kill <= KILLS; kill += 1) await runAndKill(folder, 150 + ((kill * 389) % 1500))
  const driver = await SqliteDriver.open({ folder, durability: 'full', nowMs: () => 0 })
  const found = await readAll(driver)

  expect(durable.appended.size).toBeGreaterThan(1000)
  for (const id of durable.appended) {
    const entries = found.get(id) ?? []
    const expected = (id * 7 + 1) % OWNERS === id % OWNERS ? 1 : 2
    const received = entries.find(({ direction }) => direction === 'in')
    // Those that were there only to be delivered go with their marks.
    const hasGone = id % 5 === 0 && id % 2 === 0 && received === undefined
    expect(entries).toHaveLength(hasGone ? expected - 1 : expected)
    if (hasGone) continue
    expect(received?.takenAtMs).toBe(received?.isPending === true ? undefined : id + 7)
    expect(entries.find(({ direction }) => direction === 'out')?.takenAtMs).toBeUndefined()
    expect(entries.every(({ stanza }) => stanza === `<message id="${id}">${'x'.repeat(id % 900)}</message>`)).toBe(true)
    // Odd ones were never taken; of the even ones the mark may have fallen just before its report.
    const isPending = entries.some((entry) => entry.isPending)
    if (id % 2 === 1) expect(isPending).toBe(true)
    if (durable.cleared.has(id)) expect([isPending, id % 5 === 0]).toEqual([false, false])
  }
  expect(await driver.documents<number>('kill/counters').get('counter', 'value')).toBeGreaterThanOrEqual(durable.counted)
  await driver.close()
  await rm(folder, { recursive: true })
}, 60_000)
