import { randomOctets } from '#server/base/random.ts'
import { accountJid, type ScramLookup } from '#server/core/accounts.ts'
import { hmac, proofMatches, sameBytes } from '#server/core/credentials.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Account, ScramHash, ScramKeys } from '#storage/shapes.ts'
import { bindingData, offeredBindings, parseBindingType } from './channel-binding.ts'
import { downgradeHash, versionNumber } from './downgrade-protection.ts'
import {
  failure,
  isOwnIdentity,
  MAX_MESSAGE_BYTES,
  type Mechanism,
  type SaslEnvironment,
  type SaslExchange,
  type SaslOutcome,
} from './exchange.ts'
import { type ClientFirst, parseClientFinal, parseClientFirst, type ScramError } from './scram-messages.ts'

/** 144 bits, in base64 without padding. */
const NONCE_BYTES = 18

/** SCRAM with one hash (RFC 5802, RFC 7677), bound to the TLS channel (`-PLUS`) or not. */
export const scram = (hash: ScramHash, isPlus: boolean): Mechanism => ({
  name: isPlus ? `SCRAM-${hash}-PLUS` : `SCRAM-${hash}`,
  isOffered: ({ tls }) => !isPlus || offeredBindings(tls).length > 0,
  start: (environment) => new ScramExchange(environment, hash, isPlus),
})

/** What the challenge committed both sides to. */
interface Challenged {
  readonly account: BareJid
  readonly keys: ScramKeys
  /** Without one, no proof is good enough. */
  readonly isKeyed: boolean
  readonly nonce: string
  readonly binding: Buffer
  /** The AuthMessage (RFC 5802 §3) but for the client's last part. */
  readonly authMessage: string
}

class ScramExchange implements SaslExchange {
  readonly #environment: SaslEnvironment
  readonly #hash: ScramHash
  readonly #isPlus: boolean
  #state: 'fresh' | 'over' | Challenged = 'fresh'
  #claimed: BareJid | undefined

  constructor(environment: SaslEnvironment, hash: ScramHash, isPlus: boolean) {
    this.#environment = environment
    this.#hash = hash
    this.#isPlus = isPlus
  }

  get claimed(): BareJid | undefined {
    return this.#claimed
  }

  step(response: Buffer): SaslOutcome | Promise<SaslOutcome> {
    const state = this.#state
    // Set back by a challenge alone, so that every other outcome is the last.
    this.#state = 'over'
    if (state === 'over' || response.length > MAX_MESSAGE_BYTES) return failure('malformed-request')
    return state === 'fresh' ? this.#takeFirst(response) : this.#takeFinal(response, state)
  }

  #takeFirst(message: Buffer): SaslOutcome | Promise<SaslOutcome> {
    const { domain, accounts, from } = this.#environment
    const first = parseClientFirst(message)
    if (typeof first === 'string') return failure('malformed-request', first)
    const binding = this.#bindingOf(first)
    if (!Buffer.isBuffer(binding)) return binding
    const account = accountJid(first.username, domain)
    if (account === undefined) return failure('not-authorized')
    this.#claimed = account
    if (!isOwnIdentity(first.authzid, account, from)) return failure('invalid-authzid')
    if (!this.#admits(account)) return failure('temporary-auth-failure')
    const lookup = accounts.scramKeys(account, this.#hash)
    return lookup instanceof Promise
      ? lookup.then((found) => this.#challenge(first, account, binding, found))
      : this.#challenge(first, account, binding, lookup)
  }

  /** The bytes that the client must prove to have bound to: its own header, and with -PLUS what identifies the channel (RFC 5802 §6). */
  #bindingOf(first: ClientFirst): Buffer | SaslOutcome {
    const { tls, offered } = this.#environment
    if (this.#isPlus !== (first.flag === 'p')) {
      return malformed(this.#isPlus ? 'other-error' : 'channel-binding-not-supported')
    }
    // RFC 5802 §6: the client would have bound but saw no -PLUS, which we did offer: somebody took it away.
    if (first.flag === 'y' && offered.some((name) => name.endsWith('-PLUS'))) {
      return failure('not-authorized', 'server-does-support-channel-binding' satisfies ScramError)
    }
    const header = Buffer.from(first.gs2Header)
    if (first.flag !== 'p') return header
    const type = parseBindingType(tls, first.bindingType)
    const data = tls === undefined || type === undefined ? undefined : bindingData(tls, type)
    return data === undefined ? malformed('unsupported-channel-binding-type') : Buffer.concat([header, data])
  }

  #challenge(first: ClientFirst, account: BareJid, binding: Buffer, lookup: ScramLookup): SaslOutcome {
    const { offered, bindings, newNonce, tls } = this.#environment
    const { keys } = lookup
    const nonce = first.nonce + (newNonce?.() ?? randomOctets(NONCE_BYTES).toString('base64'))
    const basics = `r=${nonce},s=${keys.salt},i=${keys.iterations}`
    const version = tls === undefined ? undefined : versionNumber(tls.protocol)
    const serverFirst = [
      basics,
      ...(offered.length === 0 ? [] : [`h=${downgradeHash(this.#hash, offered, bindings)}`]),
      ...(offered.length === 0 || version === undefined ? [] : [`t=${version}`]),
    ].join(',')
    const authMessage = `${first.bare},${serverFirst}`
    this.#state = { account, keys, isKeyed: lookup.account !== undefined, nonce, binding, authMessage }
    return { kind: 'challenge', data: Buffer.from(serverFirst) }
  }

  #takeFinal(message: Buffer, state: Challenged): SaslOutcome | Promise<SaslOutcome> {
    const final = parseClientFinal(message)
    if (typeof final === 'string') return failure('malformed-request', final)
    if (!sameBytes(final.binding, state.binding)) {
      return failure('not-authorized', 'channel-bindings-dont-match' satisfies ScramError)
    }
    // RFC 5802 §5.1: the nonce must be the one of the challenge.
    if (final.nonce !== state.nonce) return failure('not-authorized', 'other-error' satisfies ScramError)
    // Many exchanges may have begun before the first of them failed.
    if (!this.#admits(state.account)) return failure('temporary-auth-failure')
    const authMessage = `${state.authMessage},${final.withoutProof}`
    const isProved = proofMatches(this.#hash, state.keys, authMessage, final.proof)
    if (!isProved || !state.isKeyed) return failure('not-authorized')
    const current = this.#environment.accounts.get(state.account)
    return current instanceof Promise
      ? current.then((account) => this.#conclude(state, authMessage, account))
      : this.#conclude(state, authMessage, current)
  }

  /** The password or the account may have changed since the challenge. */
  #conclude(state: Challenged, authMessage: string, account: Account | undefined): SaslOutcome {
    if (account?.credentials.scram[this.#hash]?.storedKey !== state.keys.storedKey) return failure('not-authorized')
    if (account.isDisabled) return failure('account-disabled')
    const signature = hmac(this.#hash, Buffer.from(state.keys.serverKey, 'base64'), authMessage)
    return { kind: 'success', account: state.account, data: Buffer.from(`v=${signature.toString('base64')}`) }
  }

  #admits(account: BareJid): boolean {
    return this.#environment.admits?.(account) ?? true
  }
}

const malformed = (error: ScramError): SaslOutcome => failure('malformed-request', error)
