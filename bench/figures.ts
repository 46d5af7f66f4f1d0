/** The figures a row may have. In all of them less is better, but for the rate. */
export const FIGURES = {
  cpuUs: { head: 'server CPU, µs', digits: 1 },
  cpuMs: { head: 'server CPU, ms', digits: 3 },
  loopMs: { head: 'event loop, ms', digits: 3 },
  perSecond: { head: 'per second', digits: 0 },
  p50Ms: { head: 'p50, ms', digits: 2 },
  p99Ms: { head: 'p99, ms', digits: 2 },
  drainCpuUs: { head: 'drain: CPU, µs', digits: 1 },
  drainPerSecond: { head: 'drain: per second', digits: 0 },
  firstPageMs: { head: 'first pages: CPU, ms', digits: 3 },
  middlePageMs: { head: 'middle pages: CPU, ms', digits: 3 },
  lastPageMs: { head: 'last pages: CPU, ms', digits: 3 },
  connectionKib: { head: 'KiB a connection', digits: 1 },
  rssMib: { head: 'RSS, MiB', digits: 0 },
  bareTlsKib: { head: 'bare Node TLS socket, KiB', digits: 1 },
  acked: { head: 'acknowledged', digits: 0 },
  lost: { head: 'lost', digits: 0 },
  doubled: { head: 'doubled', digits: 0 },
  reordered: { head: 'out of order', digits: 0 },
  repeated: { head: 'repeated, same stanza-id', digits: 0 },
  fullSockets: { head: 'sockets full at the kill', digits: 0 },
  oneNodeUs: { head: 'one node, µs', digits: 1 },
  twoNodesUs: { head: 'two nodes, µs', digits: 1 },
  threeNodesUs: { head: 'three nodes, µs', digits: 1 },
  twoNodesTimes: { head: 'two nodes: times one', digits: 2 },
  threeNodesTimes: { head: 'three nodes: times one', digits: 2 },
  hopsPerBatch: { head: 'hops a batch, three nodes', digits: 1 },
  redisUs: { head: "Redis' CPU, three nodes, µs", digits: 1 },
  databaseUs: { head: "the database's CPU, three nodes, µs", digits: 1 },
  oneWorkerPerSecond: { head: 'one worker: per second', digits: 0 },
  twoWorkersPerSecond: { head: 'two workers: per second', digits: 0 },
  workersGain: { head: 'two workers: times the messages', digits: 2 },
  oneWorkerUs: { head: 'one worker: CPU, µs', digits: 1 },
  twoWorkersUs: { head: 'two workers: CPU, µs', digits: 1 },
  workersGainByCpu: { head: 'with twice the CPU: times the messages', digits: 2 },
  oneWorkerBusiestUs: { head: 'one worker: busiest thread, µs', digits: 1 },
  twoWorkersBusiestUs: { head: 'two workers: busiest thread, µs', digits: 1 },
  workersGainByBusiest: { head: 'with processors for all threads: times the messages', digits: 2 },
  oneProcessorPerSecond: { head: 'one worker with one slow processor: per second', digits: 0 },
  twoProcessorsPerSecond: { head: 'two workers with two: per second', digits: 0 },
  workersGainByProcessors: { head: 'two with two: times the messages of one with one', digits: 2 },
  clientShare: { head: "the client's share of all CPU, two workers", digits: 2 },
  clientCpuUs: { head: 'client CPU, µs', digits: 1 },
  otherCpuSeconds: { head: "others' CPU, s", digits: 2 },
} as const

export type FigureName = keyof typeof FIGURES

export type Sample = { readonly [name in FigureName]?: number | undefined }

export type Spread = { readonly min: number; readonly median: number; readonly max: number }

/** Least, middle and most of some runs. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2
  return { min: at(0), median, max: at(sorted.length - 1) }
}

/** A figure for people to read. */
export function show(name: FigureName, value: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(FIGURES[name].digits)
}
