import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { Accounts, type AccountsOptions } from '#server/core/accounts.ts'
import { bcryptMatches } from '#server/stream/sasl/password.ts'
import { openDriver } from '#storage/open.ts'
import type { Accounts as Storage } from '#storage/shapes.ts'

/** Few, so that tests are quick; RFC 5802 asks for no fewer. */
const TEST_ITERATIONS = 4_096

const never = { cancel: () => undefined }
const stoppedClock: Clock = { nowMs: () => 0, monotonicMs: () => 0, after: () => never, every: () => never }

const silent = () => undefined
const silentLog: Logger = { debug: silent, info: silent, warn: silent, error: silent, fatal: silent, child: () => silentLog }

/** Accounts in memory, with a clock that stands still and a log that says nothing unless others are given. */
export const memoryAccounts = async (
  options: Partial<AccountsOptions> = {},
): Promise<{ readonly accounts: Accounts; readonly storage: Storage }> => {
  const storage = options.storage ?? (await openDriver({ kind: 'memory' }, { nowMs: () => 0 })).accounts
  const accounts = new Accounts({
    storage,
    clock: stoppedClock,
    log: silentLog,
    decoySecret: Buffer.alloc(32, 7),
    bcryptMatches,
    iterations: TEST_ITERATIONS,
    ...options,
  })
  return { accounts, storage }
}
