import type { Target } from '../client/connection.ts'
import type { Mechanism } from '../client/login.ts'

/** What the built-in load client is asked to do; figures come out under xmppload's names. */
export type LoadOptions = {
  readonly mode: 'chat' | 'login' | 'returning' | 'idle' | 'offline' | 'events' | 'archive'
  readonly target: Target
  /** Nodes of one fleet: those who write to each other are connected to different ones, in chat mode. */
  readonly nodes?: readonly { readonly target: Target; readonly pid: number }[]
  /** Processes that work for the server and whose time is told apart, in chat mode. */
  readonly besides?: Readonly<Record<string, number>>
  readonly mechanism: Mechanism
  readonly serverPid: number
  readonly accounts: number
  readonly window: number
  readonly warmupSeconds: number
  readonly seconds: number
  /** Messages for each account, in offline mode; in the archive, in archive mode. */
  readonly messages: number
  /** How often each account logs in, in login and returning mode. */
  readonly rounds?: number
  /** How many log in at the same time, in these modes. */
  readonly atOnce?: number
  readonly streamManagement: boolean
  /** Whether nobody keeps the messages (XEP-0334), in chat mode. */
  readonly isKeptByNobody?: boolean
  /** How many of the accounts publish, in events mode. */
  readonly publishers?: number
}
