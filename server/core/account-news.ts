import type { BareJid, Jid } from '#stanzas/jid.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import type { Bus } from './bus.ts'

/** What other nodes have to know of an account that was changed by this one, wherever it is at home. */
export type AccountNews =
  | { readonly kind: 'created' | 'enabled' | 'disabled' | 'deleted'; readonly account: BareJid }
  /** `spared`: the session that changed it. */
  | { readonly kind: 'password'; readonly account: BareJid; readonly spared?: Jid | undefined }
  | { readonly kind: 'revoked'; readonly account: BareJid; readonly device: string }

const NEWS = 'account-news'
const HEARD = toWire('')

/** Tells the other nodes what happened to accounts. */
export class AccountNewsWire {
  readonly #bus: Bus

  /** `hear` drops what is remembered of the account, and ends what may not go on. */
  constructor(bus: Bus, hear: (news: AccountNews) => void | Promise<void>) {
    this.#bus = bus
    bus.onRequest(NEWS, async (_from, payload) => {
      await hear(JSON.parse(toText(payload)) as AccountNews)
      return HEARD
    })
  }

  /** Resolves when every node that can be reached has done what follows. */
  async tell(news: AccountNews): Promise<void> {
    const payload = toWire(JSON.stringify(news))
    await Promise.allSettled(this.#bus.peers().map((peer) => this.#bus.request(peer, NEWS, payload)))
  }
}
