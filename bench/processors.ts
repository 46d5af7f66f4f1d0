import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { familyOf } from './cpu.ts'

/** In such turns processes run and wait. */
const PERIOD_US = 10_000

/** The processors that processes have for themselves, until `release`. */
export interface Processors {
  release(): Promise<void>
}

/** How fast each of two processors may be, in shares of a real one, so that a load generator has processors of its own beside them. */
export const shareOfTwo = (): number => Math.min(1, (cpus().length - 0.8) / 2)

/**
 * Lets a process and its descendants use so much of the machine's processors in all, by a control group of the kernel (cpu.max, or cpu.cfs_quota_us of the first version);
 * `undefined` where the user may not make one.
 */
export function lendProcessors(pid: number, processors: number): Processors | undefined {
  const quotaUs = Math.round(PERIOD_US * processors)
  for (const { parent, limits } of [
    { parent: '/sys/fs/cgroup', limits: { 'cpu.max': `${quotaUs} ${PERIOD_US}` } },
    { parent: '/sys/fs/cgroup/cpu', limits: { 'cpu.cfs_period_us': `${PERIOD_US}`, 'cpu.cfs_quota_us': `${quotaUs}` } },
  ]) {
    const group = join(parent, `waxwing-bench-${process.pid}`)
    // Of the two versions of control groups a machine has either or both, in the same folder.
    if (!existsSync(join(parent, 'cgroup.procs'))) continue
    try {
      mkdirSync(group)
    } catch {
      continue
    }
    try {
      for (const [name, value] of Object.entries(limits)) writeFileSync(join(group, name), value)
      for (const each of familyOf(pid).keys()) writeFileSync(join(group, 'cgroup.procs'), `${each}`)
      return { release: () => remove(group) }
    } catch {
      rmdirSync(group)
    }
  }
  return undefined
}

/** A group goes when the last of its processes is gone, which the kernel may notice a little later. */
async function remove(group: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return rmdirSync(group)
    } catch (error) {
      if (attempt === 50) throw error
    }
    await sleep(100)
  }
}
