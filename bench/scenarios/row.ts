import type { Mechanism } from '../client/login.ts'
import type { FigureName, Sample } from '../figures.ts'
import type { Launcher, RunningServer, Setup } from '../servers/server.ts'

/** How much work the rows do. */
export type Scale = {
  readonly accounts: number
  readonly idle: number
  readonly idleTls: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly logins: number
  /** How often each account logs in, after once that only warms up. */
  readonly loginRounds: number
  readonly offlineAccounts: number
  readonly offlineMessages: number
  /** Messages in the archive that is read, and in that of a peer. */
  readonly archived: number
  readonly archivedByPeers: number
  readonly killSeconds: number
  readonly window: number
}

export type Workplace = {
  readonly server: RunningServer
  readonly launcher: Launcher
  readonly mechanism: Mechanism
  readonly scale: Scale
  /** The load generator, where there is one. */
  readonly xmppload: string | undefined
  /** Kills the server without warning and starts it again on the same data and ports. */
  readonly killAndRestart: () => Promise<RunningServer>
}

export type Outcome = { readonly sample: Sample; readonly faults: readonly string[] }

/** A row of the table: one kind of work. */
export type AnyRow = Row | OwnRow

type RowFacts = {
  readonly id: string
  readonly title: string
  /** What one unit of work is. */
  readonly unit: string
  readonly figures: readonly FigureName[]
  /** The figure that peers are compared by. */
  readonly main: FigureName
  readonly needsXmppload?: true
}

/** Work that is measured the same way on every server. */
export type Row = RowFacts & {
  readonly setup: Setup
  readonly accounts: (scale: Scale) => number
  readonly run: (place: Workplace) => Promise<Outcome>
}

/** Work that starts servers of its own, several of them: Waxwing only. */
export type OwnRow = RowFacts & {
  /** Why it cannot run here, if it cannot. */
  readonly missing: () => string | undefined
  readonly runOwn: (place: Pick<Workplace, 'scale' | 'xmppload'>) => Promise<Outcome>
}

/** What of a run was wrong, in words: whoever reads a fast figure must know that something was lost for it. */
export function faultsIn(figures: Readonly<Record<string, number>>, names: readonly string[]): readonly string[] {
  return names.filter((name) => (figures[name] ?? 0) > 0).map((name) => `${name} ${figures[name]}`)
}
