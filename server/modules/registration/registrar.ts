import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { type Rate, RateLimit } from '#server/base/rate-limit.ts'
import type { Accounts } from '#server/core/accounts.ts'
import { networkOf } from '#server/core/login-throttle.ts'
import { type Address, type BareJid, makeJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'

/** The right to make one account where registration is not open to all. */
export interface Permit {
  /** The only name it is good for. */
  readonly localpart?: string | undefined
  /** Uses it up; `false` when somebody else has. */
  take(): Promise<boolean>
  /** The account could not be made: it is good again. */
  giveBack(): Promise<void>
  /** The account is there. */
  fulfil(account: BareJid): Promise<void>
}

/** A wish for an account, as it was typed. */
export interface RegistrationRequest {
  readonly username: string
  readonly password: string
  readonly remoteAddress: string
  readonly permit?: Permit | undefined
}

/** What the registrar needs of the server. */
export interface RegistrarOptions {
  readonly accounts: Accounts
  readonly clock: Clock
  readonly log: Logger
  readonly domain: Address
  readonly minPasswordLength: number
  /** Whether a password may be the name. */
  readonly allowsWeak: boolean
  readonly reserved: readonly string[]
  /** Per address; absent when rates are not limited. */
  readonly rate: Rate | undefined
  readonly onMade: () => void
  readonly onLimited: () => void
}

/** The longest name that still reads well; RFC 7622 allows 1023 bytes. */
const MAX_USERNAME = 64

const refuse = (condition: ConstructorParameters<typeof StanzaError>[0], text: string): never => {
  throw new StanzaError(condition, { text })
}

/** Makes accounts, when name, password, address and permit allow it. Every refusal is a `StanzaError` whose text says why. */
export class Registrar {
  readonly #options: RegistrarOptions
  readonly #attempts: RateLimit | undefined
  readonly #reserved: ReadonlySet<string>
  readonly #reservations: ((localpart: string) => Promise<boolean>)[] = []

  constructor(options: RegistrarOptions) {
    this.#options = options
    this.#attempts = options.rate && new RateLimit(options.rate, options.clock)
    this.#reserved = new Set(options.reserved.flatMap((name) => makeJid(name, options.domain.jid)?.localpart ?? []))
  }

  /** Keeps names from everybody without a permit for them. */
  reserve(isReserved: (localpart: string) => Promise<boolean>): void {
    this.#reservations.push(isReserved)
  }

  /** Makes the account. */
  async register({ username, password, remoteAddress, permit }: RegistrationRequest): Promise<BareJid> {
    const { domain, log, onMade, onLimited } = this.#options
    // XEP-0077 §3.1: every field that was asked for must be filled.
    if (username === '' || password === '') return refuse('not-acceptable', 'A name and a password are needed.')
    const jid = makeJid(username, domain.jid)
    if (jid === undefined || jid.localpart.length > MAX_USERNAME)
      return refuse('jid-malformed', 'This is no name an account can have.')
    this.checkPassword(password, jid.localpart)
    if (this.#attempts?.take(networkOf(remoteAddress)) === false) {
      onLimited()
      return refuse('resource-constraint', 'Too many accounts were asked for from your address. Try again later.')
    }
    await this.#checkName(jid.localpart, permit)
    if (permit !== undefined && !(await permit.take())) return refuse('not-allowed', 'This invitation has been used.')
    try {
      await this.#create(jid.bare, password)
    } catch (error) {
      await permit?.giveBack()
      throw error
    }
    onMade()
    log.info('account-registered', { account: jid.bare, address: remoteAddress })
    // The account is there; what follows from the invitation may fail without taking it back.
    await permit?.fulfil(jid.bare).catch((error: unknown) => log.error('invitation-not-fulfilled', { account: jid.bare, error }))
    return jid.bare
  }

  /** Refuses a password that is too short or no secret. */
  checkPassword(password: string, localpart: string): void {
    const { minPasswordLength, allowsWeak } = this.#options
    // Conversations knows these two sentences and asks for another password.
    if ([...password].length < minPasswordLength) refuse('not-acceptable', 'Please use a longer password.')
    if (!allowsWeak && password.toLowerCase() === localpart) refuse('not-acceptable', 'The password is too weak')
  }

  async #checkName(localpart: string, permit: Permit | undefined): Promise<void> {
    if (permit?.localpart === localpart) return
    if (permit?.localpart !== undefined) refuse('not-acceptable', `This invitation is for the name ${permit.localpart}.`)
    const answers = await Promise.all(this.#reservations.map((isReserved) => isReserved(localpart)))
    if (this.#reserved.has(localpart) || answers.includes(true)) refuse('conflict', 'This name is taken.')
  }

  async #create(account: BareJid, password: string): Promise<void> {
    const outcome = await this.#options.accounts.create(account, password)
    if (outcome === 'exists') refuse('conflict', 'This name is taken.')
    if (outcome === 'busy') refuse('resource-constraint', 'The server is busy. Try again.')
    if (outcome !== 'created') refuse('not-acceptable', 'This password has characters that none may have.')
  }
}
