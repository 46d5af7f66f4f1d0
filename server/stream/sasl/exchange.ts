import type { Accounts } from '#server/core/accounts.ts'
import type { Devices, Token } from '#server/core/devices.ts'
import type { TlsFacts } from '#server/stream/connection.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'

/** The conditions of a failed authentication (RFC 6120 §6.5). */
export type SaslFailure =
  | 'aborted'
  | 'account-disabled'
  | 'credentials-expired'
  | 'encryption-required'
  | 'incorrect-encoding'
  | 'invalid-authzid'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'mechanism-too-weak'
  | 'not-authorized'
  | 'temporary-auth-failure'

/** What one message of the client leads to; after a success or a failure the exchange is over. */
export type SaslOutcome =
  | { readonly kind: 'challenge'; readonly data: Buffer }
  /** `token`: what proved it in place of the password (XEP-0484), and whose that is. */
  | {
      readonly kind: 'success'
      readonly account: BareJid
      readonly data: Buffer | undefined
      readonly token?: Token
      readonly device?: string
    }
  | { readonly kind: 'failure'; readonly condition: SaslFailure; readonly text?: string }

/** One attempt to authenticate by one mechanism, apart from how its messages travel; it never throws at what a client sends. */
export interface SaslExchange {
  /** Whom the client claims to be, once it has said so and whether or not there is such an account: whose failure this is. */
  readonly claimed: BareJid | undefined
  /** Takes the client's next message. Every mechanism here begins with one, so an absent initial response is asked for with an empty challenge. */
  step(response: Buffer): SaslOutcome | Promise<SaslOutcome>
}

/** What an exchange may know of the stream and the server it happens on. */
export interface SaslEnvironment {
  readonly domain: string
  readonly accounts: Accounts
  readonly tls: TlsFacts | undefined
  /** Whom the client said to be when it opened the stream, if it did (RFC 6120 §4.7.1). */
  readonly from?: BareJid | undefined
  /** Who holds tokens, the client's own id and what it counts; only where it says that it has a token (XEP-0484 §3.4). */
  readonly fast?: FastEnvironment | undefined
  /** The mechanisms as advertised on this stream, which XEP-0474 protects. */
  readonly offered: readonly string[]
  /** The channel-binding types as advertised on this stream (XEP-0440); empty when there were none. */
  readonly bindings: readonly string[]
  /** Says whether attempts on this account are let in just now; asked when the name is known and again before the verdict. */
  readonly admits?: (account: BareJid) => boolean
  /** Makes the server's part of a nonce; random when absent. */
  readonly newNonce?: () => string
}

/** What a mechanism for tokens may know besides. */
export interface FastEnvironment {
  readonly devices: Devices
  readonly clientId: string
  readonly count: number | undefined
}

/** A way to authenticate that a stream may offer. */
export interface Mechanism {
  readonly name: string
  isOffered(facts: { readonly tls: TlsFacts | undefined; readonly allowPlainWithoutTls: boolean }): boolean
  start(environment: SaslEnvironment): SaslExchange
}

/** The outcome of an exchange that fails. */
export const failure = (condition: SaslFailure, text?: string): SaslOutcome =>
  text === undefined ? { kind: 'failure', condition } : { kind: 'failure', condition, text }

/** Longer messages are not read: every part of one is limited to 1,023 bytes by RFC 7622 or by us, and base64 adds a third. */
export const MAX_MESSAGE_BYTES = 8_192

/**
 * Whether an authorization identity is the account's own, the only one that may be asked for (RFC 6120 §6.3.8); absent means the same.
 * Neither may another account be named where the stream was opened (XEP-0388 §2.3).
 */
export const isOwnIdentity = (authzid: string | undefined, account: BareJid, from: BareJid | undefined): boolean =>
  (authzid === undefined || parseJid(authzid)?.jid === account) && (from === undefined || from === account)
