import { loginRounds } from './login-rounds.ts'
import type { LoadOptions } from './options.ts'
import { sessionOf } from './sessions.ts'

/** Every account connects, authenticates, binds and leaves. */
export function login(options: LoadOptions): Promise<Record<string, number>> {
  return loginRounds(options, async (index) => {
    const beganMs = performance.now()
    const { connection } = await sessionOf(options, index, { resource: 'load' })
    const ms = performance.now() - beganMs
    connection.close()
    return ms
  })
}
