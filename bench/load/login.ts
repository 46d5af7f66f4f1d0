import { forEachIndex } from '../client/accounts.ts'
import { eventLoopSeconds } from '../cpu.ts'
import { costs, percentiles, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { sessionOf } from './sessions.ts'

/** Every account connects, authenticates, binds and leaves, fifty at a time. */
export async function login(options: LoadOptions): Promise<Record<string, number>> {
  const { accounts, rounds = 1 } = options
  const timesMs: number[] = []
  const round = () =>
    forEachIndex(accounts, 50, async (index) => {
      const beganMs = performance.now()
      const { connection } = await sessionOf(options, index, { resource: 'load' })
      timesMs.push(performance.now() - beganMs)
      connection.close()
    })
  // The first warms up both sides.
  await round()
  timesMs.length = 0
  const from = await readWhenQuiet(options.serverPid)
  const loopBefore = eventLoopSeconds(options.serverPid)
  const startMs = performance.now()
  for (let i = 0; i < rounds; i++) await round()
  const wallSeconds = (performance.now() - startMs) / 1000
  const to = await readWhenQuiet(options.serverPid)
  return {
    logins: timesMs.length,
    logins_per_s: timesMs.length / wallSeconds,
    loop_ms_per_login: ((eventLoopSeconds(options.serverPid) - loopBefore) * 1000) / timesMs.length,
    ...percentiles('login_', timesMs),
    ...costs('', 'login', from, to, timesMs.length),
  }
}
