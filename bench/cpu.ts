import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const TICKS_PER_SECOND = 100 // USER_HZ, fixed on Linux
const PAGE_BYTES = 4096

export type Usage = { readonly cpuSeconds: number; readonly rssBytes: number }

/** One process with its descendants, or several. */
export type Roots = number | readonly number[]

/** What processes and all their descendants have used so far: user and system time, and resident memory now. */
export function usageOf(roots: Roots): Usage {
  let ticks = 0
  let rssPages = 0
  for (const fields of familyOf(roots).values()) {
    const at = (index: number) => Number(fields[index])
    // proc(5), counted from the state: 11–14 utime stime cutime cstime, 21 rss.
    ticks += at(11) + at(12) + at(13) + at(14)
    rssPages += at(21)
  }
  return { cpuSeconds: ticks / TICKS_PER_SECOND, rssBytes: rssPages * PAGE_BYTES }
}

/** Processes and all their descendants, by number; of each the fields of its /proc/pid/stat, from the state on. */
export function familyOf(roots: Roots): ReadonlyMap<number, readonly string[]> {
  const rootPids = new Set([roots].flat())
  const all = new Map<number, readonly string[]>()
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? statFields(`/proc/${name}/stat`) : undefined
    if (fields !== undefined) all.set(Number(name), fields)
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = Number(all.get(at)?.[1] ?? 0)) if (rootPids.has(at)) return true
    return false
  }
  return new Map([...all].filter(([pid]) => belongs(pid)))
}

/** What each thread of a process and of its descendants has used so far, by thread: a process with several threads has several. */
export function threadSeconds(rootPid: number): ReadonlyMap<number, number> {
  const seconds = new Map<number, number>()
  for (const pid of familyOf(rootPid).keys())
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const [runNs = '0'] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
      seconds.set(Number(thread), Number(runNs) / 1e9)
    }
  return seconds
}

/** The time a process's first thread has spent on a processor, which in Node is the event loop. */
export function eventLoopSeconds(pid: number): number {
  const [runNs = '0'] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')
  return Number(runNs) / 1e9
}

/** The time all processors of the machine have been busy. */
export function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    readFileSync('/proc/stat', 'utf8').split('\n')[0]?.trim().split(/\s+/).slice(1).map(Number) ?? []
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND
}

/** Waits until a process tree uses almost no time, so that late writes count for the work that caused them. Each of several may tick once while we look. */
export async function untilQuiet(roots: Roots, timeoutMs = 20_000): Promise<void> {
  const quietSeconds = 0.011 * [roots].flat().length
  const until = Date.now() + timeoutMs
  let before = usageOf(roots).cpuSeconds
  while (Date.now() < until) {
    await sleep(300)
    const now = usageOf(roots).cpuSeconds
    if (now - before <= quietSeconds) return
    before = now
  }
}

/** How many of a server's sockets hold bytes that their peers have not taken. */
export function fullSockets(port: number): number {
  const local = port.toString(16).toUpperCase().padStart(4, '0')
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => readFileSync(file, 'utf8').split('\n').slice(1))
  return rows.filter((row) => {
    const [, address = '', , , queues = ''] = row.trim().split(/\s+/)
    return address.endsWith(`:${local}`) && Number.parseInt(queues.split(':')[0] ?? '0', 16) > 0
  }).length
}

function statFields(path: string): readonly string[] | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // it ended while we looked
  }
}
