import type { Scale } from './scenarios/row.ts'

/** What the figures of record are measured with. */
export const FULL: Scale = {
  accounts: 1000,
  idle: 10_000,
  idleTls: 5000,
  seconds: 8,
  warmupSeconds: 3,
  logins: 1000,
  loginRounds: 5,
  offlineAccounts: 200,
  offlineMessages: 50,
  archived: 1_000_000,
  archivedByPeers: 10_000,
  killSeconds: 5,
  window: 4,
}

/** Enough to see that every row works and nothing is lost, within a few minutes. */
export const QUICK: Scale = {
  accounts: 100,
  idle: 500,
  idleTls: 300,
  seconds: 2,
  warmupSeconds: 1,
  logins: 100,
  loginRounds: 1,
  offlineAccounts: 50,
  offlineMessages: 20,
  archived: 20_000,
  archivedByPeers: 5_000,
  killSeconds: 2,
  window: 4,
}
