/**
 * What it costs that several processes use one embedded store: `node bench/micro/shared-store.ts`. CPU is user and system time of all processes, the owner's and the workers'.
 * Ids are given by the clock, as servers give them, so those of two workers interleave.
 */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { openDriver, type StoreConfig } from '#storage/open.ts'
import type { Log } from '#storage/shapes.ts'

const STANZA = wire(`<message type="chat">${'x'.repeat(600 - 31)}</message>`)
const ACCOUNTS = 1000
const PEERS = 20
const RUNS = 3
const jids = Array.from({ length: ACCOUNTS }, (_, index) => `account${index}@verona.example` as BareJid)
const jid = (index: number): BareJid => jids[index % ACCOUNTS] as BareJid

interface Task {
  readonly store: StoreConfig
  readonly node: number
  readonly count: number
  readonly group: number
}

interface Cost {
  readonly cpuMicros: number
  readonly ms: number
}

/** Keeps two groups on their way and takes each mark off, as `store.ts` does. */
const saturate = (log: Log, { node, count, group }: Task): Promise<void> =>
  new Promise((resolve, reject) => {
    let [sent, settled, lastId] = [0, 0, 0]
    const send = (): void => {
      sent += 1
      lastId = Math.max((Date.now() - 1_704_067_200_000) * 8192 + node, lastId + 256)
      const id = lastId
      const sender = jid(sent * 7919)
      const recipient = jid(sent * 7919 + 1 + ((sent >> 7) % PEERS))
      const places = [
        { owner: sender, peer: recipient, direction: 'out', isPending: false, isTransient: false },
        { owner: recipient, peer: sender, direction: 'in', isPending: true, isTransient: false },
      ] as const
      log.append({ id, atMs: Date.now(), stanza: STANZA, isText: true, places }, (error) => {
        if (error !== undefined) reject(error)
        log.clearPending(recipient, id, Date.now())
        settled += 1
        if (settled === count) resolve(log.flush())
        else if (sent < count) send()
      })
    }
    for (let index = 0; index < group * 2; index += 1) send()
  })

const cpuMicros = (): number => {
  const { user, system } = process.cpuUsage()
  return user + system
}

const work = async (task: Task): Promise<Cost> => {
  const driver = await openDriver(task.store, { nowMs: () => Date.now() })
  await driver.log.lastId()
  const [cpu, startMs] = [cpuMicros(), performance.now()]
  await saturate(driver.log, task)
  const cost = { cpuMicros: cpuMicros() - cpu, ms: performance.now() - startMs }
  await driver.close()
  return cost
}

/** Has a process of its own do it. */
const worker = (task: Task): Promise<Cost> =>
  new Promise((resolve, reject) => {
    const child = fork(import.meta.filename)
    child.send(task)
    child.once('message', (cost) => {
      // `work` has sent it.
      resolve(cost as Cost)
      child.disconnect()
    })
    child.once('error', reject)
  })

const measure = async (workers: number, count: number, group: number): Promise<Cost> => {
  const path = mkdtempSync(join(tmpdir(), 'waxwing-bench-'))
  try {
    if (workers === 0) return await work({ store: { kind: 'sqlite', path }, node: 0, count, group })
    const socket = join(path, 'store.sock')
    const owner = await openDriver({ kind: 'sqlite', path, socket }, { nowMs: () => Date.now() })
    const cpu = cpuMicros()
    const store = { kind: 'shared', socket } as const
    const tasks = Array.from({ length: workers }, (_, node) => ({ store, node, count: count / workers, group }))
    const costs = await Promise.all(tasks.map(worker))
    const own = cpuMicros() - cpu
    await owner.close()
    return { cpuMicros: costs.reduce((sum, cost) => sum + cost.cpuMicros, own), ms: Math.max(...costs.map(({ ms }) => ms)) }
  } finally {
    rmSync(path, { recursive: true })
  }
}

const compare = async (): Promise<void> => {
  console.log('| records a group | who appends | µs CPU an append | appends/s |\n| --- | --- | --- | --- |')
  for (const [group, count] of [
    [10, 20_000],
    [100, 100_000],
    [500, 200_000],
  ] as const) {
    for (const workers of [0, 1, 2]) {
      const costs: Cost[] = []
      for (let run = 0; run < RUNS; run += 1) costs.push(await measure(workers, count, group))
      const middle = costs.toSorted((a, b) => a.cpuMicros - b.cpuMicros)[RUNS >> 1]
      if (middle === undefined) continue
      const who = workers === 0 ? 'the owner itself' : `${workers} over the socket`
      const perSecond = Math.round((count * 1000) / middle.ms).toLocaleString('en')
      console.log(`| ${group} | ${who} | ${(middle.cpuMicros / count).toFixed(1)} | ${perSecond} |`)
    }
  }
}

if (process.send === undefined) await compare()
else process.once('message', (task: Task) => void work(task).then((cost) => process.send?.(cost)))
