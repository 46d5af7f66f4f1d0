import type { BareJid } from '#stanzas/jid.ts'
import { toText, toWire, type Wire } from '#stanzas/wire.ts'
import type { Bus } from './bus.ts'
import type { Forwarding } from './forwarding.ts'
import type { Residence } from './residence.ts'

/**
 * What a module does at the home of an account when it is asked by itself, from wherever another account is at home: what no stanza says. Who may ask is for the
 * asking side to know; a payload is what the module itself has written.
 */
export interface HomeCall {
  readonly name: string
  readonly handle: (account: BareJid, payload: string) => string | undefined | Promise<string | undefined>
}

/** The other nodes, where there are some. */
interface Fleet {
  readonly bus: Bus
  readonly residence: Residence
  readonly forwarding: Forwarding
}

type Call = readonly [account: BareJid, name: string, payload: string]

const ASK = 'home-ask'
const TELL = 'home-tell'
const NOTHING = toWire('')
const SOMETHING = '='

/** Asks the homes of accounts by what modules have registered; a call is named `module.name`. */
export class HomeCalls {
  readonly #handlers = new Map<string, HomeCall['handle']>()
  readonly #onFailure: (account: BareJid, name: string, error: unknown) => void
  #fleet: Fleet | undefined

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

  /** From now on accounts may be at home at other nodes. */
  reachBy(fleet: Fleet): void {
    this.#fleet = fleet
    fleet.bus.onRequest(ASK, async (_from, payload) => {
      const [account, name, text] = readCall(payload)
      const answer = await this.call(account, name, text)
      return answer === undefined ? NOTHING : toWire(SOMETHING + answer)
    })
    fleet.bus.onMessage(TELL, (_from, payload) => this.tell(...readCall(payload)))
  }

  /**
   * Runs a call at the account's home, which this process becomes when there is none, unless the call only reads: then it runs here, and what is remembered by that is dropped.
   * Rejects when the home cannot be reached, and with what the handler throws.
   */
  async call(account: BareJid, name: string, payload: string, how?: 'reading'): Promise<string | undefined> {
    const fleet = this.#fleet
    const place = fleet === undefined ? 'here' : await fleet.residence.find(account, how !== 'reading')
    if (fleet === undefined || place === 'here') return this.#handleHere(account, name, payload)
    if (place === 'nowhere')
      try {
        return await this.handle(account, name, payload)
      } finally {
        fleet.residence.leave(account)
      }
    const answer = toText(await fleet.bus.request(place, ASK, writeCall(account, name, payload)))
    return answer.startsWith(SOMETHING) ? answer.slice(SOMETHING.length) : undefined
  }

  /** Runs a call at the account's home, in order with the stanzas that are routed to it; of an account that is at home nowhere nothing is connected, and nobody is told. */
  tell(account: BareJid, name: string, payload: string): void {
    const told = this.#tell(account, name, payload)
    told?.catch((error: unknown) => this.#onFailure(account, name, error))
  }

  /** Without a promise when it has been sent: what waited a turn would be overtaken. */
  #tell(account: BareJid, name: string, payload: string): Promise<unknown> | undefined {
    const fleet = this.#fleet
    if (fleet === undefined) return this.call(account, name, payload)
    const { forwarding, residence, bus } = fleet
    if (forwarding.isHere(account)) {
      const waiting = residence.caughtUp(account)
      // It may have left when what was waited for is over.
      return waiting === undefined
        ? this.#handleHere(account, name, payload)
        : waiting.then(() =>
            residence.isHere(account) ? this.#handleHere(account, name, payload) : this.#tell(account, name, payload),
          )
    }
    const waiting = forwarding.cleared(account)
    const node = waiting === undefined ? residence.knownNode(account) : undefined
    if (node !== undefined && bus.send(node, TELL, writeCall(account, name, payload))) return undefined
    return this.#tellLater(fleet, waiting, [account, name, payload])
  }

  async #tellLater(fleet: Fleet, waiting: Promise<void> | undefined, call: Call): Promise<void> {
    await waiting
    const [account] = call
    const place = await fleet.residence.find(account, false)
    if (place === 'nowhere') return
    if (place === 'here') await this.#tell(...call)
    else fleet.bus.send(place, TELL, writeCall(...call))
  }

  async #handleHere(account: BareJid, name: string, payload: string): Promise<string | undefined> {
    const stay = this.#fleet?.residence.enter(account)
    try {
      return await this.handle(account, name, payload)
    } finally {
      stay?.end()
    }
  }

  /** Runs a call in this process. */
  handle(account: BareJid, name: string, payload: string): string | undefined | Promise<string | undefined> {
    const handle = this.#handlers.get(name)
    if (handle === undefined) throw new Error(`there is no call ${name}`)
    return handle(account, payload)
  }
}

const writeCall = (account: BareJid, name: string, payload: string): Wire => toWire(JSON.stringify([account, name, payload]))

const readCall = (payload: Wire): Call => JSON.parse(toText(payload))
