import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { WorkQueue } from '#server/base/work-queue.ts'
import { type BareJid, type Jid, makeJid, parseJid } from '#stanzas/jid.ts'
import type { Account, Credentials, ScramHash, ScramKeys, Accounts as Storage } from '#storage/shapes.ts'
import { BoundedCache } from './bounded-cache.ts'
import {
  DEFAULT_ITERATIONS,
  deriveCredentials,
  hashFacts,
  passwordMatches,
  preparePassword,
  SALT_BYTES,
  scramHashes,
} from './credentials.ts'
import { DerivationQueue } from './derivation-queue.ts'

/** What happens to accounts, and what listeners are told of it. */
export interface AccountEvents {
  readonly created: { readonly account: BareJid }
  readonly deleted: { readonly account: BareJid }
  /** The password was set anew (not merely stored in another form), or the account was disabled or enabled; `by` one of its own sessions. */
  readonly changed: {
    readonly account: BareJid
    readonly what: 'password' | 'disabled' | 'enabled'
    readonly by?: Jid | undefined
  }
}

/** What became of an attempt to prove a password. */
export type PasswordVerdict =
  | { readonly kind: 'right'; readonly account: Account }
  /** Also when there is no such account. */
  | { readonly kind: 'wrong' }
  /** The password was right, but the account may not log in. */
  | { readonly kind: 'disabled' }
  /** Too many passwords wait to be checked. */
  | { readonly kind: 'busy' }

/** What accounts need of the server. */
export interface AccountsOptions {
  readonly storage: Storage
  readonly clock: Clock
  readonly log: Logger
  /** Makes the salts of accounts that do not exist; it must outlive restarts and be the same on every node, or the made-up salts give themselves away. */
  readonly decoySecret: Buffer
  /** Compares a password with a bcrypt hash, in the thread pool. */
  readonly bcryptMatches: (password: string, hash: string) => Promise<boolean>
  readonly iterations?: number
  readonly derivations?: DerivationQueue
}

type Listeners = { readonly [E in keyof AccountEvents]: Set<(event: AccountEvents[E]) => void | Promise<void>> }

/** Two of the four threads of the default pool stay free for files and names; 128 waiting passwords take about half a second. */
const DERIVATION_LIMITS = { maxRunning: 2, maxWaiting: 128 }
/** Credentials are needed at logins only, existence with every message; an absent account may be made by another process, so it is believed briefly. */
const ACCOUNT_CACHE = { maxEntries: 10_000, maxAgeMs: 60_000 }
const PRESENT_CACHE = { maxEntries: 100_000, maxAgeMs: 600_000 }
const ABSENT_CACHE = { maxEntries: 10_000, maxAgeMs: 5_000 }
/** Changes of one account that may wait for each other; nobody has so many at once. */
const MAX_WAITING_WRITES = 100

/** With a cost that one comparison can be given a thread for: 14 takes a second. */
const BCRYPT_HASH = /^\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/

/** The JID of the account that a name means on a domain; `undefined` for names that no account can have (RFC 7622 §3.3). */
export const accountJid = (name: string, domain: string): BareJid | undefined => {
  // Most names are as they must be, and need not go through the tables.
  if (PLAIN_NAME.test(name)) return parseJid(`${name}@${domain}`)?.bare
  return name === '' ? undefined : makeJid(name, domain)?.bare
}

const PLAIN_NAME = /^[a-z0-9._-]{1,256}$/

/** The life of accounts, and the only way to them: creation, credentials, existence, deletion. */
export class Accounts {
  readonly #storage: Storage
  readonly #clock: Clock
  readonly #log: Logger
  readonly #decoySecret: KeyObject
  readonly #bcryptMatches: AccountsOptions['bcryptMatches']
  readonly #iterations: number
  readonly #derivations: DerivationQueue
  readonly #cached: BoundedCache<BareJid, Account>
  readonly #present: BoundedCache<BareJid, true>
  /** Being deleted. */
  readonly #leaving = new Set<BareJid>()
  readonly #absent: BoundedCache<BareJid, true>
  readonly #reads = new Map<BareJid, Promise<Account | undefined>>()
  readonly #writes = new WorkQueue(MAX_WAITING_WRITES)
  readonly #listeners: Listeners = { created: new Set(), deleted: new Set(), changed: new Set() }
  /** A hash that nothing matches, as costly as the imported ones that were seen. */
  #decoyBcrypt: string | undefined

  constructor(options: AccountsOptions) {
    this.#storage = options.storage
    this.#clock = options.clock
    this.#log = options.log
    this.#decoySecret = createSecretKey(options.decoySecret)
    this.#bcryptMatches = options.bcryptMatches
    this.#iterations = options.iterations ?? DEFAULT_ITERATIONS
    this.#derivations = options.derivations ?? new DerivationQueue(DERIVATION_LIMITS)
    this.#cached = new BoundedCache(options.clock, ACCOUNT_CACHE)
    this.#present = new BoundedCache(options.clock, PRESENT_CACHE)
    this.#absent = new BoundedCache(options.clock, ABSENT_CACHE)
  }

  /** Passwords that are being checked or wait for it, and those that were refused because too many waited. */
  get passwords(): { readonly waiting: number; readonly refused: number } {
    return { waiting: this.#derivations.length, refused: this.#derivations.refused }
  }

  /** The account; without a promise when it was read lately. */
  get(jid: BareJid): Account | undefined | Promise<Account | undefined> {
    const cached = this.#cached.get(jid)
    if (cached !== undefined) return cached
    return this.#absent.get(jid) === true ? undefined : this.#read(jid)
  }

  /** Whether there is such an account; without a promise when that was asked lately. Every message asks. */
  exists(jid: BareJid): boolean | Promise<boolean> {
    // What comes now would be kept behind the back of those who forget it, for the next one of that name.
    if (this.#leaving.has(jid)) return false
    if (this.#present.get(jid) === true) return true
    if (this.#absent.get(jid) === true) return false
    return this.#read(jid).then((account) => account !== undefined)
  }

  /** Makes an account with this password. */
  async create(jid: BareJid, password: string): Promise<'created' | 'exists' | 'invalid-jid' | 'invalid-password' | 'busy'> {
    if (!jid.includes('@')) return 'invalid-jid'
    const prepared = preparePassword(password)
    if (prepared === undefined) return 'invalid-password'
    if (await this.exists(jid)) return 'exists'
    const credentials = await this.#derivations.run(() => deriveCredentials(prepared, { iterations: this.#iterations }))
    return credentials === undefined ? 'busy' : this.#add(jid, credentials)
  }

  /** Makes an account whose password is known by its bcrypt hash only, until its first login by PLAIN. */
  async importBcrypt(jid: BareJid, hash: string): Promise<'created' | 'exists' | 'invalid-jid' | 'invalid-hash'> {
    if (!jid.includes('@')) return 'invalid-jid'
    if (!BCRYPT_HASH.test(hash)) return 'invalid-hash'
    // PHP's $2y$ is what others call $2b$.
    return this.#add(jid, { scram: {}, bcrypt: hash.replace(/^\$2y/, '$2b') })
  }

  /** Replaces the password; `by` the session of the account that asked for it. */
  async setPassword(jid: BareJid, password: string, by?: Jid): Promise<'changed' | 'no-account' | 'invalid-password' | 'busy'> {
    const prepared = preparePassword(password)
    if (prepared === undefined) return 'invalid-password'
    const credentials = await this.#derivations.run(() => deriveCredentials(prepared, { iterations: this.#iterations }))
    if (credentials === undefined) return 'busy'
    if (!(await this.#update(jid, { credentials }))) return 'no-account'
    await this.#tell('changed', { account: jid, what: 'password', by })
    return 'changed'
  }

  /** Forbids the account to log in, or allows it again; `false` when there is no such account. */
  async setDisabled(jid: BareJid, isDisabled: boolean): Promise<boolean> {
    if (!(await this.#update(jid, { isDisabled }))) return false
    await this.#tell('changed', { account: jid, what: isDisabled ? 'disabled' : 'enabled' })
    return true
  }

  /** How often the passwords of new keys are hashed. */
  get iterations(): number {
    return this.#iterations
  }

  /** Adds keys that a client derived from the account's password (XEP-0480 §3); `false` when there are such keys, or there is no such account. */
  addKeys(jid: BareJid, hash: ScramHash, keys: ScramKeys): Promise<boolean> {
    return this.#inTurn(jid, async () => {
      const current = await this.#storage.get(jid)
      if (current === undefined || current.credentials.scram[hash] !== undefined) return false
      const { credentials } = current
      return this.#storage.update(jid, { credentials: { ...credentials, scram: { ...credentials.scram, [hash]: keys } } })
    })
  }

  /** Removes the account, and resolves once every listener has removed what it kept for it; `false` when there is no such account. */
  async delete(jid: BareJid): Promise<boolean> {
    // Until all that was kept for it is gone, nobody may log in or take the name: after a crash in between, deleting it again finishes the work.
    if (!(await this.#update(jid, { isDisabled: true }))) return false
    this.#leaving.add(jid)
    try {
      await this.#tell('deleted', { account: jid })
      return await this.#inTurn(jid, () => this.#storage.delete(jid))
    } finally {
      this.#leaving.delete(jid)
    }
  }

  /** Accounts of a domain in JID order, after the given one. */
  list(domain: string, page?: { readonly after?: BareJid; readonly limit?: number }): Promise<readonly Account[]> {
    return this.#storage.list(domain, page)
  }

  /** How many accounts a domain has. */
  count(domain: string): Promise<number> {
    return this.#storage.count(domain)
  }

  /** Drops what is remembered of an account that another process has changed. */
  forget(jid: BareJid): void {
    this.#reads.delete(jid)
    this.#cached.delete(jid)
    this.#present.delete(jid)
    this.#absent.delete(jid)
  }

  /** Calls the listener whenever this happens to an account; returns what ends that. The operation waits for it, its failure is logged. */
  on<E extends keyof AccountEvents>(event: E, listener: (event: AccountEvents[E]) => void | Promise<void>): () => void {
    this.#listeners[event].add(listener)
    return () => this.#listeners[event].delete(listener)
  }

  /**
   * The SCRAM keys of an account. Where there are none, made-up ones that are the same every time, so that an exchange with an unknown account runs and
   * looks like one with a wrong password; `account` is then `undefined`.
   */
  scramKeys(jid: BareJid, hash: ScramHash): ScramLookup | Promise<ScramLookup> {
    // Made in either case, so that the time does not tell.
    const decoy = this.#decoyKeys(jid, hash)
    const found = this.get(jid)
    return found instanceof Promise ? found.then((account) => pickKeys(account, hash, decoy)) : pickKeys(found, hash, decoy)
  }

  /** Checks a password as PLAIN sends it, and stores it as SCRAM keys for every hash that has none yet. */
  async verifyPassword(jid: BareJid, password: string): Promise<PasswordVerdict> {
    const prepared = preparePassword(password)
    if (prepared === undefined) return { kind: 'wrong' }
    const verdict = await this.#derivations.run(() => this.#verify(jid, password, prepared))
    return verdict ?? { kind: 'busy' }
  }

  async #verify(jid: BareJid, password: string, prepared: string): Promise<PasswordVerdict> {
    const account = await this.get(jid)
    const hash = scramHashes.find((candidate) => account?.credentials.scram[candidate] !== undefined) ?? scramHashes[0]
    const { keys, account: keyed } = pickKeys(account, hash, this.#decoyKeys(jid, hash))
    const keysMatch = await passwordMatches(hash, keys, prepared)
    const bcryptMatches = await this.#verifyBcrypt(account?.credentials.bcrypt, password, keyed !== undefined && keysMatch)
    if (account === undefined || !((keyed !== undefined && keysMatch) || bcryptMatches)) return { kind: 'wrong' }
    if (account.isDisabled) return { kind: 'disabled' }
    return { kind: 'right', account: await this.#upgrade(account, prepared) }
  }

  /**
   * Once an imported account was seen, every wrong password costs one bcrypt comparison, whoever it was for: otherwise the time would tell which names
   * are imported accounts that have not logged in yet.
   */
  async #verifyBcrypt(hash: string | undefined, password: string, isProvedOtherwise: boolean): Promise<boolean> {
    if (hash !== undefined) {
      this.#decoyBcrypt = `${hash.slice(0, '$2b$10$'.length)}${'.'.repeat(53)}`
      return this.#bcryptMatches(password, hash)
    }
    if (!isProvedOtherwise && this.#decoyBcrypt !== undefined) await this.#bcryptMatches(password, this.#decoyBcrypt)
    return false
  }

  /** Derives what is missing while the password is at hand, and drops the bcrypt hash. A failure costs nothing but another try at the next login. */
  async #upgrade(account: Account, prepared: string): Promise<Account> {
    const { jid, credentials } = account
    if (credentials.bcrypt === undefined && scramHashes.every((hash) => credentials.scram[hash] !== undefined)) return account
    try {
      const upgraded = await deriveCredentials(prepared, { iterations: this.#iterations, have: credentials.scram })
      await this.#inTurn(jid, async () => {
        const current = await this.#storage.get(jid)
        // A password set in the meantime must not be undone.
        if (!isDeepStrictEqual(current?.credentials, credentials)) return
        await this.#storage.update(jid, { credentials: upgraded })
      })
      return (await this.get(jid)) ?? account
    } catch (error) {
      this.#log.warn('credentials-upgrade-failed', { account: jid, error })
      return account
    }
  }

  async #add(jid: BareJid, credentials: Credentials): Promise<'created' | 'exists'> {
    const account: Account = { jid, createdAtMs: this.#clock.nowMs(), credentials, isDisabled: false }
    if (!(await this.#inTurn(jid, () => this.#storage.create(account)))) return 'exists'
    await this.#tell('created', { account: jid })
    return 'created'
  }

  #update(jid: BareJid, change: { readonly credentials?: Credentials; readonly isDisabled?: boolean }): Promise<boolean> {
    return this.#inTurn(jid, () => this.#storage.update(jid, change))
  }

  /** Writes to one account happen one after the other, and what was read before or during one is forgotten. */
  #inTurn<T>(jid: BareJid, write: () => Promise<T>): Promise<T> {
    return this.#writes.run(jid, async () => {
      try {
        return await write()
      } finally {
        this.forget(jid)
      }
    })
  }

  #read(jid: BareJid): Promise<Account | undefined> {
    const underWay = this.#reads.get(jid)
    if (underWay !== undefined) return underWay
    const read = this.#storage.get(jid).then(
      (account) => {
        // Forgotten meanwhile: what was read may be older than the change.
        if (this.#reads.get(jid) === read) this.#remember(jid, account)
        return account
      },
      (error: unknown) => {
        if (this.#reads.get(jid) === read) this.#reads.delete(jid)
        throw error
      },
    )
    this.#reads.set(jid, read)
    return read
  }

  #remember(jid: BareJid, account: Account | undefined): void {
    this.#reads.delete(jid)
    if (account === undefined) {
      this.#absent.set(jid, true)
    } else {
      this.#cached.set(jid, account)
      this.#present.set(jid, true)
    }
  }

  #decoyKeys(jid: BareJid, hash: ScramHash): ScramKeys {
    const bytes = createHmac('sha512', this.#decoySecret).update(`${hash} ${jid}`).digest()
    const key = bytes.toString('base64', 0, hashFacts[hash].bytes)
    return { salt: bytes.toString('base64', 0, SALT_BYTES), iterations: this.#iterations, storedKey: key, serverKey: key }
  }

  async #tell<E extends keyof AccountEvents>(event: E, fact: AccountEvents[E]): Promise<void> {
    const listeners: Set<(event: AccountEvents[E]) => void | Promise<void>> = this.#listeners[event]
    const told = await Promise.allSettled([...listeners].map(async (listener) => listener(fact)))
    for (const result of told) {
      if (result.status === 'rejected')
        this.#log.error('account-listener-failed', { event, account: fact.account, error: result.reason })
    }
  }
}

/** Keys to run an exchange with; only with an account can it succeed. */
export interface ScramLookup {
  readonly keys: ScramKeys
  readonly account: Account | undefined
}

const pickKeys = (account: Account | undefined, hash: ScramHash, decoy: ScramKeys): ScramLookup => {
  const keys = account?.credentials.scram[hash]
  return keys === undefined ? { keys: decoy, account: undefined } : { keys, account }
}
