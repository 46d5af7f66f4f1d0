import type { FigureName } from './figures.ts'

/** What a row's median must not exceed, for Waxwing, or fall below. */
export type Budget =
  /** An absolute figure. */
  | { readonly kind: 'at-most'; readonly row: string; readonly figure: FigureName; readonly value: number }
  | { readonly kind: 'at-least'; readonly row: string; readonly figure: FigureName; readonly value: number }
  /** A share of what the better peer needs for the same work in the same run. */
  | { readonly kind: 'of-better-peer'; readonly row: string; readonly figure: FigureName; readonly share: number }
  /** A multiple of another row of ours. */
  | { readonly kind: 'of-row'; readonly row: string; readonly figure: FigureName; readonly other: string; readonly times: number }
  /** So much above another figure of the same row. */
  | { readonly kind: 'above'; readonly row: string; readonly figure: FigureName; readonly base: FigureName; readonly by: number }

const nothingLost = (row: string): readonly Budget[] => [
  { kind: 'at-most', row, figure: 'lost', value: 0 },
  { kind: 'at-most', row, figure: 'doubled', value: 0 },
  { kind: 'at-most', row, figure: 'reordered', value: 0 },
]

/** The budgets of the project; a change that makes a row worse by more than a tenth says why in its commit. */
export const BUDGETS: readonly Budget[] = [
  { kind: 'of-better-peer', row: 'chat', figure: 'cpuUs', share: 1 / 4 },
  { kind: 'of-better-peer', row: 'chat-durable', figure: 'cpuUs', share: 1 / 6 },
  { kind: 'of-row', row: 'chat-websocket', figure: 'cpuUs', other: 'chat-node-tcp', times: 1.3 },
  { kind: 'at-most', row: 'idle', figure: 'connectionKib', value: 12 },
  { kind: 'above', row: 'idle-tls', figure: 'connectionKib', base: 'bareTlsKib', by: 10 },
  { kind: 'at-most', row: 'login-scram-sha-256', figure: 'loopMs', value: 0.4 },
  { kind: 'of-row', row: 'login-fast', figure: 'cpuMs', other: 'login-node', times: 0.5 },
  { kind: 'of-row', row: 'login-fast-alone', figure: 'cpuMs', other: 'login-node-alone', times: 0.5 },
  { kind: 'at-most', row: 'archive', figure: 'firstPageMs', value: 2 },
  { kind: 'at-most', row: 'archive', figure: 'middlePageMs', value: 2 },
  { kind: 'at-most', row: 'archive', figure: 'lastPageMs', value: 2 },
  { kind: 'at-most', row: 'pep', figure: 'cpuUs', value: 6 },
  { kind: 'at-most', row: 'pep-many', figure: 'cpuUs', value: 6 },
  { kind: 'at-most', row: 'cluster-durable', figure: 'twoNodesTimes', value: 3 },
  { kind: 'at-most', row: 'cluster-durable', figure: 'threeNodesTimes', value: 3 },
  { kind: 'at-most', row: 'cluster-bare', figure: 'twoNodesTimes', value: 3 },
  { kind: 'at-most', row: 'cluster-bare', figure: 'threeNodesTimes', value: 3 },
  { kind: 'at-least', row: 'workers', figure: 'workersGainByCpu', value: 1.6 },
  { kind: 'at-least', row: 'workers', figure: 'workersGainByProcessors', value: 1.6 },
  { kind: 'at-least', row: 'workers-durable', figure: 'workersGainByCpu', value: 1.6 },
  { kind: 'at-least', row: 'workers-durable', figure: 'workersGainByProcessors', value: 1.6 },
  ...nothingLost('kill-read'),
  ...nothingLost('kill-away'),
  ...nothingLost('kill-hang'),
]
