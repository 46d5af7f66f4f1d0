import { forEachIndex } from '../client/accounts.ts'
import { costs, percentiles, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { sessionOf } from './sessions.ts'

/** Every account connects, authenticates, binds and leaves, fifty at a time. */
export async function login(options: LoadOptions): Promise<Record<string, number>> {
  const timesMs: number[] = []
  const from = await readWhenQuiet(options.serverPid)
  const startMs = performance.now()
  await forEachIndex(options.accounts, 50, async (index) => {
    const beganMs = performance.now()
    const { connection } = await sessionOf(options, index, { resource: 'load' })
    timesMs.push(performance.now() - beganMs)
    connection.close()
  })
  const wallSeconds = (performance.now() - startMs) / 1000
  const to = await readWhenQuiet(options.serverPid)
  return {
    logins: timesMs.length,
    logins_per_s: timesMs.length / wallSeconds,
    ...percentiles('login_', timesMs),
    ...costs('', 'login', from, to, timesMs.length),
  }
}
