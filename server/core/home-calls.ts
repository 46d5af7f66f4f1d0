import type { BareJid } from '#stanzas/jid.ts'

/**
 * What a module does at the home of an account when it is asked by itself, from wherever another account is at home: what no stanza says. Who may ask is for the
 * asking side to know; a payload is what the module itself has written.
 */
export interface HomeCall {
  readonly name: string
  readonly handle: (account: BareJid, payload: string) => string | undefined | Promise<string | undefined>
}

/** Asks the homes of accounts by what modules have registered; a call is named `module.name`. */
export class HomeCalls {
  readonly #handlers = new Map<string, HomeCall['handle']>()
  readonly #onFailure: (account: BareJid, name: string, error: unknown) => void

  constructor(onFailure: (account: BareJid, name: string, error: unknown) => void) {
    this.#onFailure = onFailure
  }

  register(module: string, calls: readonly HomeCall[]): void {
    for (const { name, handle } of calls) {
      const key = `${module}.${name}`
      if (this.#handlers.has(key)) throw new Error(`two calls are named ${key}`)
      this.#handlers.set(key, handle)
    }
  }

  /** Runs a call at the account's home, which this process becomes when there is none; rejects when the home cannot be reached, and with what the handler throws. */
  async call(account: BareJid, name: string, payload: string): Promise<string | undefined> {
    return this.handle(account, name, payload)
  }

  /** Runs a call at the account's home, behind the stanzas that were routed to it before; of an account that is at home nowhere nothing is connected, and nobody is told. */
  tell(account: BareJid, name: string, payload: string): void {
    this.call(account, name, payload).catch((error: unknown) => this.#onFailure(account, name, error))
  }

  /** Runs a call in this process. */
  handle(account: BareJid, name: string, payload: string): string | undefined | Promise<string | undefined> {
    const handle = this.#handlers.get(name)
    if (handle === undefined) throw new Error(`there is no call ${name}`)
    return handle(account, payload)
  }
}
