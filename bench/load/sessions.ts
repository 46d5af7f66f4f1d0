import { forEachIndex, PASSWORD, usernameOf } from '../client/accounts.ts'
import type { Connection } from '../client/connection.ts'
import { bind, type LoggedIn, logIn, type SessionOptions } from '../client/login.ts'
import type { LoadOptions } from './options.ts'

/** Logs one of the bench's accounts in and binds it. */
export async function sessionOf(options: LoadOptions, index: number, session: SessionOptions): Promise<LoggedIn> {
  const credentials = { username: usernameOf(index), password: PASSWORD, mechanism: options.mechanism }
  const loggedIn = await logIn(options.target, credentials)
  await bind(loggedIn, session)
  return loggedIn
}

/** Logs many accounts in, fifty at a time. */
export async function sessionsOf(
  options: LoadOptions,
  first: number,
  count: number,
  session: SessionOptions,
): Promise<Connection[]> {
  const connections: Connection[] = []
  await forEachIndex(count, 50, async (at) => {
    connections[at] = (await sessionOf(options, first + at, session)).connection
  })
  return connections
}

/** Ends all streams politely. */
export function leave(connections: readonly Connection[]): void {
  for (const connection of connections) {
    connection.onClose = () => undefined
    connection.close()
  }
}
