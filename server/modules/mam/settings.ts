import type { Clock } from '#server/base/clock.ts'
import { BoundedCache } from '#server/core/bounded-cache.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Documents } from '#storage/shapes.ts'
import { Choice, type Preferences } from './preferences.ts'

/** How long an account wants its messages kept. */
export type Keep = 'until-delivered' | 'forever' | number

/** One of the things that an account has said about its archive. */
export type Setting =
  | { readonly kind: 'preferences'; readonly preferences: Preferences }
  | { readonly kind: 'keep'; readonly keep: Keep }

/** What an account has said about its archive. */
export interface Settings {
  readonly preferences: Preferences | undefined
  readonly choice: Choice | undefined
  readonly keep: Keep | undefined
}

const NOTHING_SAID: Settings = { preferences: undefined, choice: undefined, keep: undefined }

/** Every message asks for those of both sides; most accounts have none. Long lists are kept apart, so that all together take some 50 MB at most. */
const CACHE = { maxEntries: 100_000, maxAgeMs: 600_000 }
const LONG_CACHE = { maxEntries: 200, maxAgeMs: 600_000 }
/** Addresses in a list that is long. */
const LONG = 4

/** The settings of all accounts, read once and then known for a while. */
export class AllSettings {
  readonly #store: Documents<Setting>
  readonly #short: BoundedCache<BareJid, Settings>
  readonly #long: BoundedCache<BareJid, Settings>
  readonly #reads = new Map<BareJid, Promise<Settings>>()

  constructor(store: Documents<Setting>, clock: Clock) {
    this.#store = store
    this.#short = new BoundedCache(clock, CACHE)
    this.#long = new BoundedCache(clock, LONG_CACHE)
  }

  /** The account's settings; without a promise when they were read lately. */
  of(account: BareJid): Settings | Promise<Settings> {
    return this.#short.get(account) ?? this.#long.get(account) ?? this.#reads.get(account) ?? this.#read(account)
  }

  /** Those of an account that is not at home here, which nobody may remember. */
  async readAway(account: BareJid): Promise<Settings> {
    return settingsOf((await this.#store.list(account)).map(({ value }) => value))
  }

  /** Keeps a setting in the place of an earlier one, or of none. */
  async put(account: BareJid, setting: Setting): Promise<void> {
    await this.#store.put(account, setting.kind, setting)
    this.#forgetWhatWasRead(account)
  }

  /** Takes a setting back. */
  async drop(account: BareJid, kind: Setting['kind']): Promise<void> {
    await this.#store.delete(account, kind)
    this.#forgetWhatWasRead(account)
  }

  /** Removes what a deleted account has said. */
  async forget(account: BareJid): Promise<void> {
    await this.#store.deleteOwner(account)
    this.#forgetWhatWasRead(account)
  }

  /** Lets go of what is in memory of an account; whoever asks next reads it. */
  leave(account: BareJid): void {
    this.#forgetWhatWasRead(account)
  }

  #forgetWhatWasRead(account: BareJid): void {
    this.#reads.delete(account)
    this.#short.delete(account)
    this.#long.delete(account)
  }

  #read(account: BareJid): Promise<Settings> {
    const read = this.#store.list(account).then(
      (documents) => {
        const settings = settingsOf(documents.map(({ value }) => value))
        // What was changed meanwhile is read anew by whoever asks next.
        if (this.#reads.get(account) === read) (isLong(settings) ? this.#long : this.#short).set(account, settings)
        this.#done(account, read)
        return settings
      },
      (error: unknown) => {
        this.#done(account, read)
        throw error
      },
    )
    this.#reads.set(account, read)
    return read
  }

  #done(account: BareJid, read: Promise<Settings>): void {
    if (this.#reads.get(account) === read) this.#reads.delete(account)
  }
}

const settingsOf = (all: readonly Setting[]): Settings => {
  if (all.length === 0) return NOTHING_SAID
  let { preferences, keep } = NOTHING_SAID
  for (const setting of all)
    if (setting.kind === 'preferences') preferences = setting.preferences
    else keep = setting.keep
  return { preferences, choice: preferences && new Choice(preferences), keep }
}

const isLong = ({ preferences }: Settings): boolean =>
  preferences !== undefined && preferences.always.length + preferences.never.length > LONG
