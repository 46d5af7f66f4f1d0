/** An account as an operator sees it. */
export interface AccountSummary {
  readonly jid: string
  readonly createdAtMs: number
  readonly isDisabled: boolean
}

/** A client that has access to an account, as an operator sees it. */
export interface DeviceSummary {
  readonly id: string
  readonly software?: string
  readonly device?: string
  readonly lastSeenMs: number
  readonly isConnected: boolean
  readonly knowsPassword: boolean
  readonly hasToken: boolean
}

/** What an invitation is for: a new account (XEP-0445), or a contact of an account that exists (XEP-0379). */
export type InviteRequest =
  | { readonly kind: 'account'; readonly localpart?: string; readonly lifetimeMs?: number }
  | { readonly kind: 'contact'; readonly account: string; readonly lifetimeMs?: number }

/** An invitation and the ways to hand it on. */
export interface Invite {
  readonly uri: string
  /** A page for a browser; absent when the server has no web address. */
  readonly url?: string
  readonly token: string
  readonly expiresAtMs: number
}

/** How a running server is. */
export interface ServerStatus {
  readonly version: string
  readonly domain: string
  readonly isRunning: boolean
  readonly sessions: number
  readonly accounts: number
  readonly startedAtMs?: number
}

/** Why an operation was refused, in words for the operator. */
export class OperationError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'OperationError'
  }
}

/** How far a server is that hands its clients over to others. */
export interface DrainProgress {
  /** `waiting` until load balancers have noticed, `leaving` while clients go, `stopping` when they have gone. */
  readonly phase: 'serving' | 'waiting' | 'leaving' | 'stopping'
  /** Clients that have not gone, as far as that is known. */
  readonly clients?: number
}

/** How a server lets others go on with what it does. */
export interface DrainOperations {
  /** Says that it is not ready, and after this long accepts nobody any more and lets its clients go on elsewhere; refused where there is nobody to go on. */
  drain(graceMs: number): Promise<void>
  drainProgress(): Promise<DrainProgress>
}

/** What the command line may ask of a server; throws an `OperationError` for what it refuses. Accounts are named by their bare JIDs. */
export interface Operations extends DrainOperations {
  addAccount(jid: string, password: string): Promise<void>
  /** Brings in an account with its bcrypt hash, which its first login by PLAIN turns into SCRAM keys. */
  importAccount(jid: string, bcryptHash: string): Promise<void>
  /** Deletes the account and everything it keeps, and ends its sessions. */
  deleteAccount(jid: string): Promise<void>
  /** Replaces the password and ends the account's sessions. */
  setPassword(jid: string, password: string): Promise<void>
  /** A disabled account keeps what it has but cannot log in; its sessions end. */
  setDisabled(jid: string, isDisabled: boolean): Promise<void>
  listAccounts(): Promise<readonly AccountSummary[]>
  /** The clients that have access to the account. */
  listDevices(jid: string): Promise<readonly DeviceSummary[]>
  /** Ends a client's sessions and tokens; tells whether it has shown that it knows the password, so that it may come back. */
  revokeDevice(jid: string, id: string): Promise<{ readonly knowsPassword: boolean }>
  createInvite(request: InviteRequest): Promise<Invite>
  status(): Promise<ServerStatus>
}
