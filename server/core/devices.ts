import { hash } from 'node:crypto'
import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { randomOctets } from '#server/base/random.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Account, Expiring } from '#storage/shapes.ts'
import { BoundedCache } from './bounded-cache.ts'
import { scramHashes } from './credentials.ts'

/** What a client may log in with instead of the password (XEP-0484). */
export interface Token {
  readonly secret: string
  /** The only SASL mechanism it is good for. */
  readonly mechanism: string
  /** The password it was given out under: a SCRAM hash and its salt. With another password, it is worth nothing. */
  readonly under: string
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** The highest count it was used with (XEP-0484 §3.4). */
  readonly count?: number | undefined
}

/** One installation of a client that logs in to an account (XEP-0388 §2.3). */
export interface Device {
  readonly software?: string | undefined
  readonly device?: string | undefined
  readonly firstSeenMs: number
  /** To the hour. */
  readonly lastSeenMs: number
  /** Whether it has shown that it knows the password. */
  readonly knowsPassword: boolean
  /** The token in use, and one that was given out since and has not been used (XEP-0484 §5.1). */
  readonly current?: Token | undefined
  readonly next?: Token | undefined
}

/** A device as it is listed; its id is made from the one that its client keeps to itself. */
export interface ListedDevice extends Device {
  readonly id: string
}

/** What a login says of the device it comes from. */
export interface DeviceLogin {
  readonly software: string | undefined
  readonly device: string | undefined
  /** The token it was done with; otherwise it was done with the password. */
  readonly token?: Token | undefined
  readonly count?: number | undefined
  /** Asks for a new token for this mechanism. */
  readonly wants?: string | undefined
  /** Asks that its tokens be taken back. */
  readonly invalidates?: boolean
}

/** What becomes of a login: it is let in, perhaps with a new token, or its own token is good no more. */
export type Admission = Token | undefined | 'revoked'

/** What devices need of the server. */
export interface DevicesOptions {
  readonly storage: Expiring<Device>
  readonly clock: Clock
  readonly log: Logger
  readonly tokenLifetimeMs: number
  /** How long a device that stays away is remembered. */
  readonly memoryMs: number
  readonly maxPerAccount: number
}

const CACHE = { maxEntries: 10_000, maxAgeMs: 600_000 }
/** 256 bits, in base64 for URLs: as long as the key of the HMAC that proves it. */
const TOKEN_BYTES = 32
/** A token that has lived for this share of its time is replaced when it is used. */
const ROTATED_AFTER = 0.1
/** When a device was seen is written no more often. */
const SEEN_EVERY_MS = 3_600_000
/** Names are for people to tell their devices apart. */
const MAX_NAME_LENGTH = 100

/** The devices of all accounts: who they say they are, and the tokens they hold. */
export class Devices {
  readonly #options: DevicesOptions
  /** By account, then by id. */
  readonly #known: BoundedCache<BareJid, Map<string, Device>>
  /** Grows when devices are forgotten: what was read before may have been forgotten since. */
  #generation = 0
  readonly #revoked = new Set<(account: BareJid, id: string) => void>()

  constructor(options: DevicesOptions) {
    this.#options = options
    this.#known = new BoundedCache(options.clock, CACHE)
  }

  /** The id of a device on this server; it does not tell the client's own, nor whether two accounts are on one device. */
  static idOf(account: BareJid, clientId: string): string {
    return hash('sha256', `${account}\0${clientId.toLowerCase()}`, 'base64url').slice(0, 16)
  }

  /** Calls back with the device as it is at that moment; without a promise when it was read lately. */
  look<T>(account: BareJid, id: string, use: (device: Device | undefined) => T | Promise<T>): T | Promise<T> {
    const known = this.#known.get(account)?.get(id)
    if (known !== undefined) return use(known)
    const generation = this.#generation
    return this.#options.storage.get(keyOf(account, id)).then((device): T | Promise<T> => {
      if (generation !== this.#generation) return this.look(account, id, use)
      const latest = this.#known.get(account)?.get(id)
      if (device !== undefined && latest === undefined) this.#remember(account, id, device)
      return use(latest ?? device)
    })
  }

  #remember(account: BareJid, id: string, device: Device): void {
    const known = this.#known.get(account) ?? new Map<string, Device>()
    known.set(id, device)
    this.#known.set(account, known)
  }

  /** Drops what is remembered of an account that another process may change from now on, or has changed. */
  leave(account: BareJid): void {
    this.#generation++
    this.#known.delete(account)
  }

  /** Whether a token may be used now, by this mechanism and with this count, for the account as it stands. */
  isGood(token: Token, account: Account, use: { readonly mechanism: string; readonly count: number | undefined }): boolean {
    if (token.mechanism !== use.mechanism || token.expiresAtMs <= this.#options.clock.nowMs()) return false
    // XEP-0484 §3.4
    if (use.count !== undefined && token.count !== undefined && use.count <= token.count) return false
    return isUnder(token, account)
  }

  /**
   * Writes a login down and gives the token that the client gets, once that is kept; without a promise when nothing need be waited for. `revoked`: the
   * token it was done with was taken back, or used with this count, since it was proved.
   */
  loggedIn(account: Account, id: string, login: DeviceLogin): Admission | Promise<Admission> {
    return this.look(account.jid, id, (known) => this.#record(account, id, known, login))
  }

  #record(account: Account, id: string, known: Device | undefined, login: DeviceLogin): Admission | Promise<Admission> {
    if (login.token !== undefined && !holds(known, login.token, login.count)) return 'revoked'
    const nowMs = this.#options.clock.nowMs()
    const issued = this.#issue(account, login, nowMs)
    const device = withLogin(known, login, issued, nowMs)
    const hasNewTokens = device.current?.secret !== known?.current?.secret || device.next?.secret !== known?.next?.secret
    const isWritten = hasNewTokens || login.count !== undefined || isNews(known, device)
    if (!isWritten) return issued
    const saved = this.#save(account.jid, id, device)
    if (known === undefined) this.#makeRoom(account.jid, id)
    // A token that the client learns, or believes to be gone, must be kept, or gone. The rest may come later.
    if (hasNewTokens) return saved.then(() => issued)
    saved.catch((error: unknown) => this.#options.log.warn('device-not-kept', { account: account.jid, error }))
    return issued
  }

  #issue(account: Account, { token, wants, invalidates }: DeviceLogin, nowMs: number): Token | undefined {
    const { tokenLifetimeMs } = this.#options
    // XEP-0484 §3.5, and §3.6: none unasked where they are taken back.
    const isDue = token !== undefined && nowMs - token.issuedAtMs > tokenLifetimeMs * ROTATED_AFTER && invalidates !== true
    const mechanism = wants ?? (isDue ? token.mechanism : undefined)
    const under = mechanism === undefined ? undefined : passwordOf(account)
    if (mechanism === undefined || under === undefined) return undefined
    const secret = randomOctets(TOKEN_BYTES).toString('base64url')
    return { secret, mechanism, under, issuedAtMs: nowMs, expiresAtMs: nowMs + tokenLifetimeMs }
  }

  #save(account: BareJid, id: string, device: Device): Promise<void> {
    this.#remember(account, id, device)
    const lastsUntilMs = Math.max(
      device.lastSeenMs + this.#options.memoryMs,
      device.current?.expiresAtMs ?? 0,
      device.next?.expiresAtMs ?? 0,
    )
    return this.#options.storage.put(keyOf(account, id), device, lastsUntilMs).catch((error: unknown) => {
      this.#known.get(account)?.delete(id)
      throw error
    })
  }

  /** Those of an account that were seen last stay. */
  #makeRoom(account: BareJid, newest: string): void {
    const trim = async (): Promise<void> => {
      const devices = await this.list(account)
      const excess = devices.length - this.#options.maxPerAccount
      const oldest = devices.filter(({ id }) => id !== newest).toSorted((a, b) => a.lastSeenMs - b.lastSeenMs)
      for (const { id } of oldest.slice(0, Math.max(0, excess))) await this.#drop(account, id)
    }
    trim().catch((error: unknown) => this.#options.log.warn('device-not-kept', { account, error }))
  }

  /** The devices of an account. */
  async list(account: BareJid): Promise<readonly ListedDevice[]> {
    const prefix = keyOf(account, '')
    const rows = await this.#options.storage.list(prefix)
    return rows.map(({ key, value }) => ({ ...value, id: key.slice(prefix.length) }))
  }

  /** Forgets a device and its tokens, and tells those who have to end its sessions; `undefined` when there is none. */
  async revoke(account: BareJid, id: string): Promise<Device | undefined> {
    const device = await this.look(account, id, (known) => known)
    if (device === undefined) return undefined
    const dropped = this.#drop(account, id)
    for (const listener of this.#revoked) listener(account, id)
    await dropped
    return device
  }

  /** Forgets the devices of an account and their tokens; of the one that stays, the tokens only. */
  async forget(account: BareJid, staying?: string): Promise<void> {
    for (const { id } of await this.list(account)) {
      const kept = id === staying ? await this.look(account, id, (known) => known) : undefined
      if (kept === undefined) await this.#drop(account, id)
      else await this.#save(account, id, withoutTokens(kept))
    }
  }

  /** Calls the listener for each device that is revoked; returns what ends that. */
  onRevoked(listener: (account: BareJid, id: string) => void): () => void {
    this.#revoked.add(listener)
    return () => this.#revoked.delete(listener)
  }

  #drop(account: BareJid, id: string): Promise<boolean> {
    const dropped = this.#options.storage.delete(keyOf(account, id))
    this.#generation++
    this.#known.get(account)?.delete(id)
    return dropped
  }
}

/** Whether the token is still the device's, and not used so often. */
const holds = (device: Device | undefined, { secret }: Token, count: number | undefined): boolean => {
  const held = device?.current?.secret === secret ? device.current : device?.next
  return held?.secret === secret && (count === undefined || held.count === undefined || count > held.count)
}

const keyOf = (account: BareJid, id: string): string => `${account}/${id}`

/** What a password is recognised by: the salt of the strongest keys. Keys that are derived later from the same password are beside it. */
const passwordOf = ({ credentials }: Account): string | undefined => {
  const strongest = scramHashes.find((name) => credentials.scram[name] !== undefined)
  const keys = strongest === undefined ? undefined : credentials.scram[strongest]
  return keys === undefined ? undefined : `${strongest} ${keys.salt}`
}

const isUnder = ({ under }: Token, { credentials }: Account): boolean =>
  scramHashes.some((name) => credentials.scram[name] !== undefined && under === `${name} ${credentials.scram[name].salt}`)

const withoutTokens = ({ current: _current, next: _next, ...device }: Device): Device => device

const nameOf = (text: string | undefined): string | undefined => {
  const name = text?.trim().slice(0, MAX_NAME_LENGTH)
  return name === '' ? undefined : name
}

/** XEP-0484 §5.1: what is new waits until it is used, and then takes the place of what was before. */
const withLogin = (known: Device | undefined, login: DeviceLogin, issued: Token | undefined, nowMs: number): Device => {
  const { token, count } = login
  const used = token === undefined ? known?.current : { ...token, count: count ?? token.count }
  const isNext = token !== undefined && token.secret === known?.next?.secret
  const unused = isNext ? undefined : known?.next
  return {
    software: nameOf(login.software) ?? known?.software,
    device: nameOf(login.device) ?? known?.device,
    firstSeenMs: known?.firstSeenMs ?? nowMs,
    lastSeenMs: known === undefined || nowMs - known.lastSeenMs >= SEEN_EVERY_MS ? nowMs : known.lastSeenMs,
    knowsPassword: token === undefined || known?.knowsPassword === true,
    current: login.invalidates === true ? undefined : used,
    next: issued ?? (login.invalidates === true ? undefined : unused),
  }
}

/** Whether anything but tokens differs. */
const isNews = (known: Device | undefined, device: Device): boolean =>
  known === undefined ||
  known.lastSeenMs !== device.lastSeenMs ||
  known.software !== device.software ||
  known.device !== device.device ||
  known.knowsPassword !== device.knowsPassword
