import type { Clock } from '#server/base/clock.ts'
import { randomOctets } from '#server/base/random.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Expiring } from '#storage/shapes.ts'

/** A right that was handed out: to make an account, to become somebody's contact, or both. */
export interface Invitation {
  readonly token: string
  readonly kind: 'account' | 'contact'
  /** Whose contact the guest becomes. */
  readonly inviter?: BareJid
  /** The only name an account can be made with. */
  readonly localpart?: string
  readonly allowsRegistration: boolean
  readonly expiresAtMs: number
}

/** What invitations are kept in. */
export interface InvitationStores {
  readonly invitations: Expiring<Invitation>
  /** By inviter and token, for counting them and for forgetting them with their account. */
  readonly issued: Expiring<true>
  /** Names that accounts can be made with by invitation only. */
  readonly reserved: Expiring<true>
}

/** A stream that has shown its token in time may register until it has to log in, which is never later (XEP-0445 §4). */
const GRACE_MS = 600_000
/** 128 bits, in letters and digits only (XEP-0401 §5.1). */
const TOKEN_BYTES = 16
const TOKEN = /^[0-9a-f]{32}$/

/** Every invitation that can still be used. Each can be used once. */
export class Invitations {
  readonly #stores: InvitationStores
  readonly #clock: Clock

  constructor(stores: InvitationStores, clock: Clock) {
    this.#stores = stores
    this.#clock = clock
  }

  /** Makes an invitation; its name is reserved for as long as it holds. */
  async create(wanted: Omit<Invitation, 'token' | 'expiresAtMs'>, lifetimeMs: number): Promise<Invitation> {
    const expiresAtMs = this.#clock.nowMs() + lifetimeMs
    const invitation: Invitation = { ...wanted, token: randomOctets(TOKEN_BYTES).toString('hex'), expiresAtMs }
    if (wanted.localpart !== undefined) await this.#reserve(wanted.localpart, expiresAtMs)
    await this.#keep(invitation)
    return invitation
  }

  /** The invitation of a token; `undefined` when there never was one, or it has been used or has expired. */
  async peek(token: string): Promise<Invitation | undefined> {
    const found = TOKEN.test(token) ? await this.#stores.invitations.get(token) : undefined
    return found === undefined || found.expiresAtMs <= this.#clock.nowMs() ? undefined : found
  }

  /** Uses an invitation up, even when it has expired since it was looked at; `false` when somebody else has. */
  async take({ token, inviter }: Invitation): Promise<boolean> {
    if ((await this.#stores.invitations.take(token)) === undefined) return false
    if (inviter !== undefined) await this.#stores.issued.delete(issuedKey(inviter, token))
    return true
  }

  /** Makes an invitation good again that was used in vain. */
  giveBack(invitation: Invitation): Promise<void> {
    return this.#keep(invitation)
  }

  /** How many invitations of an account wait to be used. */
  async countOf(inviter: BareJid): Promise<number> {
    return (await this.#stores.issued.list(issuedKey(inviter, ''))).length
  }

  /** Whether an account of this name can only be made by invitation. */
  async isReserved(localpart: string): Promise<boolean> {
    return (await this.#stores.reserved.get(localpart)) !== undefined
  }

  /** Takes back every invitation of an account. */
  async forget(inviter: BareJid): Promise<void> {
    const prefix = issuedKey(inviter, '')
    for (const { key } of await this.#stores.issued.list(prefix)) {
      await this.#stores.invitations.delete(key.slice(prefix.length))
      await this.#stores.issued.delete(key)
    }
  }

  async #keep(invitation: Invitation): Promise<void> {
    const { token, inviter, expiresAtMs } = invitation
    await this.#stores.invitations.put(token, invitation, expiresAtMs + GRACE_MS)
    if (inviter !== undefined) await this.#stores.issued.put(issuedKey(inviter, token), true, expiresAtMs)
  }

  /** XEP-0445 §5: at least until the token expires; of two invitations for one name, the later end counts. */
  async #reserve(localpart: string, expiresAtMs: number): Promise<void> {
    const [known] = await this.#stores.reserved.list(localpart)
    const until = expiresAtMs + GRACE_MS
    if (known?.key === localpart && known.expiresAtMs >= until) return
    await this.#stores.reserved.put(localpart, true, until)
  }
}

/** No JID has a space. */
const issuedKey = (inviter: BareJid, token: string): string => `${inviter} ${token}`
