import type { Target } from './connection.ts'
import { register } from './login.ts'

export const PASSWORD = 'secret' // the load generator's default

/** The bench's accounts are u0, u1, …, as the load generator names them. */
export const usernameOf = (index: number): string => `u${index}`

/** Does a piece of work for each index, some at a time. */
export async function forEachIndex(count: number, atATime: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atATime, count) }, worker))
}

/** Makes the accounts that the rows use. */
export function registerAccounts(target: Target, count: number): Promise<void> {
  return forEachIndex(count, 20, (index) =>
    register(target, { username: usernameOf(index), password: PASSWORD, mechanism: 'PLAIN' }),
  )
}
