import { forEachIndex } from '../client/accounts.ts'
import { eventLoopSeconds } from '../cpu.ts'
import { costs, percentiles, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'

/** Lets every account log in, fifty at a time unless said, once to warm up both sides and then as often as is asked for; `login` gives its time in milliseconds. */
export async function loginRounds(
  { serverPid, accounts, rounds = 1, atOnce = 50 }: LoadOptions,
  login: (index: number) => Promise<number>,
): Promise<Record<string, number>> {
  const timesMs: number[] = []
  const round = () =>
    forEachIndex(accounts, atOnce, async (index) => {
      timesMs.push(await login(index))
    })
  await round()
  timesMs.length = 0
  const from = await readWhenQuiet(serverPid)
  const loopBefore = eventLoopSeconds(serverPid)
  const startMs = performance.now()
  for (let i = 0; i < rounds; i++) await round()
  const wallSeconds = (performance.now() - startMs) / 1000
  const to = await readWhenQuiet(serverPid)
  return {
    logins: timesMs.length,
    logins_per_s: timesMs.length / wallSeconds,
    loop_ms_per_login: ((eventLoopSeconds(serverPid) - loopBefore) * 1000) / timesMs.length,
    ...percentiles('login_', timesMs),
    ...costs('', 'login', from, to, timesMs.length),
  }
}
