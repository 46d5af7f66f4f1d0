import { machineSeconds, type Roots, untilQuiet, usageOf } from '../cpu.ts'

export type Reading = {
  readonly server: number
  readonly client: number
  readonly machine: number
  readonly atMs: number
  readonly rss: number
}

/** What server, this client and the whole machine have used up to now. */
export function read(server: Roots): Reading {
  const { cpuSeconds, rssBytes } = usageOf(server)
  const own = process.cpuUsage()
  return {
    server: cpuSeconds,
    client: (own.user + own.system) / 1e6,
    machine: machineSeconds(),
    atMs: performance.now(),
    rss: rssBytes,
  }
}

/** The same once the server has finished what it still had to do. */
export async function readWhenQuiet(server: Roots): Promise<Reading> {
  await untilQuiet(server)
  return read(server)
}

/** Costs per unit of work between two readings, under xmppload's names. */
export function costs(prefix: string, unit: string, from: Reading, to: Reading, units: number): Record<string, number> {
  const server = to.server - from.server
  const client = to.client - from.client
  return {
    [`${prefix}server_cpu_ms_per_${unit}`]: units === 0 ? 0 : (server * 1000) / units,
    [`${prefix}client_cpu_ms_per_${unit}`]: units === 0 ? 0 : (client * 1000) / units,
    [`${prefix}other_cpu_s`]: to.machine - from.machine - server - client,
  }
}

/** Half and nearly all of some times lie below these. */
export function percentiles(prefix: string, timesMs: readonly number[]): Record<string, number> {
  const sorted = Float64Array.from(timesMs).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { [`${prefix}p50_ms`]: at(0.5), [`${prefix}p99_ms`]: at(0.99) }
}
