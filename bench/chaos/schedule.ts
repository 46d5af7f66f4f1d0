import { Chance } from '../../conformance/fuzz/chance.ts'
import { LEASE_MS } from './options.ts'

/** One thing that is done to the fleet. */
export type Fault = {
  readonly atMs: number
  /** How long it lasts: until the node is continued, the service is started again, the connections move or are given up. */
  readonly forMs: number
} & FaultKind

export type FaultKind =
  | { readonly kind: 'node-killed'; readonly node: number }
  | { readonly kind: 'node-stopped'; readonly node: number }
  | { readonly kind: 'redis-killed' }
  | { readonly kind: 'database-killed' }
  /** A part of all connections, in percent, says nothing more to either side. */
  | { readonly kind: 'half-open'; readonly percent: number }
  | { readonly kind: 'cut'; readonly percent: number }

/** What each round has; killed nodes, which are what a fleet is for, come twice. */
export const ROUND: readonly FaultKind['kind'][] = [
  'node-killed',
  'node-killed',
  'node-stopped',
  'redis-killed',
  'database-killed',
  'half-open',
  'cut',
]

/** One device that is away for a time, and whether it says so or is only gone. */
export type Absence = { readonly atMs: number; readonly device: string; readonly forMs: number; readonly saysGoodbye: boolean }

/** Everything that is done in a run. */
export type Schedule = { readonly faults: readonly Fault[]; readonly absences: readonly Absence[]; readonly calmAtMs: number }

const WARM_UP_MS = 14_000
/** Long enough for clients to come back: a lease, a start of a node, a login. */
const PAUSE_MS = { least: 14_000, span: 8_000 }
const CALM_PART = 0.3
const MAX_CALM_MS = 60_000

/** Draws the whole run from its seed. */
export const drawSchedule = (options: {
  readonly seed: number
  readonly seconds: number
  readonly nodes: number
  readonly roaming: readonly string[]
  readonly kinds: readonly FaultKind['kind'][]
}): Schedule => {
  const { seed, seconds, nodes, roaming, kinds } = options
  const calmAtMs = seconds * 1000 - Math.min(MAX_CALM_MS, seconds * 1000 * CALM_PART)
  return {
    calmAtMs,
    faults: drawFaults(new Chance(seed, 1), calmAtMs, nodes, kinds),
    absences: drawAbsences(new Chance(seed, 2), calmAtMs, roaming),
  }
}

const drawFaults = (chance: Chance, untilMs: number, nodes: number, kinds: readonly FaultKind['kind'][]): readonly Fault[] => {
  const faults: Fault[] = []
  let round: FaultKind['kind'][] = []
  let atMs = WARM_UP_MS
  for (;;) {
    if (round.length === 0) round = shuffled(chance, kinds)
    const fault = draw(chance, round.pop() ?? 'cut', atMs, nodes)
    if (atMs + fault.forMs > untilMs) return faults
    faults.push(fault)
    atMs += fault.forMs + PAUSE_MS.least + chance.below(PAUSE_MS.span)
  }
}

const draw = (chance: Chance, kind: FaultKind['kind'], atMs: number, nodes: number): Fault => {
  const between = (least: number, most: number): number => least + chance.below(most - least)
  switch (kind) {
    case 'node-killed':
      return { atMs, forMs: between(200, 3_000), kind, node: chance.below(nodes) }
    case 'node-stopped':
      return {
        atMs,
        forMs: chance.once(2) ? between(1_000, LEASE_MS * 0.6) : between(LEASE_MS * 1.2, LEASE_MS * 2.4),
        kind,
        node: chance.below(nodes),
      }
    case 'redis-killed':
      return { atMs, forMs: chance.once(3) ? between(LEASE_MS, LEASE_MS * 1.6) : between(100, 2_500), kind }
    case 'database-killed':
      return { atMs, forMs: between(500, 8_000), kind }
    case 'half-open':
      return { atMs, forMs: between(6_000, 15_000), kind, percent: between(20, 80) }
    case 'cut':
      return { atMs, forMs: 0, kind, percent: between(30, 101) }
  }
}

const ABSENCE_MS = { least: 3_000, most: 70_000 }
const PRESENCE_MS = { least: 10_000, most: 60_000 }

const drawAbsences = (chance: Chance, untilMs: number, roaming: readonly string[]): readonly Absence[] =>
  roaming
    .flatMap((device) => {
      const absences: Absence[] = []
      const between = ({ least, most }: { readonly least: number; readonly most: number }) => least + chance.below(most - least)
      for (let atMs = WARM_UP_MS + chance.below(PRESENCE_MS.least); atMs < untilMs; ) {
        const forMs = Math.min(between(ABSENCE_MS), untilMs - atMs)
        absences.push({ atMs, device, forMs, saysGoodbye: chance.once(2) })
        atMs += forMs + between(PRESENCE_MS)
      }
      return absences
    })
    .sort((a, b) => a.atMs - b.atMs)

const shuffled = <T>(chance: Chance, items: readonly T[]): T[] => {
  const all = [...items]
  for (let at = all.length - 1; at > 0; at--) {
    const other = chance.below(at + 1)
    const [one, two] = [all[at], all[other]]
    if (one !== undefined && two !== undefined) {
      all[at] = two
      all[other] = one
    }
  }
  return all
}

/** What a fault is called in tables and on the plot. */
export const describeFault = (fault: Fault): string => {
  const seconds = `${(fault.forMs / 1000).toFixed(1)} s`
  switch (fault.kind) {
    case 'node-killed':
      return `n${fault.node} killed, started after ${seconds}`
    case 'node-stopped':
      return `n${fault.node} stopped for ${seconds}`
    case 'redis-killed':
      return `Redis killed, started after ${seconds}`
    case 'database-killed':
      return `database killed, started after ${seconds}`
    case 'half-open':
      return `${fault.percent} % of connections half open for ${seconds}`
    case 'cut':
      return `${fault.percent} % of connections cut`
  }
}
