import { pause } from '#server/base/clock.ts'
import type { Element } from '#stanzas/element.ts'
import type { Actor } from './actor.ts'
import { visit } from './visitor.ts'

const SM = 'urn:xmpp:sm:3'
/** Who was sent away waits so long before the next attempt. */
const RETRY_MS = 100

export interface RoamingOptions {
  readonly name: string
  readonly password: string
  /** Whom it writes to. */
  readonly peer: string
  /** The ports of all nodes, up or not: a client does not know. */
  readonly ports: readonly number[]
}

interface Outgoing {
  readonly id: string
  readonly xml: string
}

/** A client with XEP-0198 that is always online: when it loses its connection it resumes its session over the next node. */
export class RoamingClient {
  /** Ids of what it wrote and of what came, in order. */
  readonly written: string[] = []
  readonly received: string[] = []
  /** How it came back, and for how long it was away at most. */
  readonly counts = { resumed: 0, refused: 0 }
  longestAwayMs = 0
  readonly #options: RoamingOptions
  #unacked: Outgoing[] = []
  #acked = 0
  #heard = 0
  #token: string | undefined
  #actor: Actor | undefined
  #next: number
  #hasEnded = false

  constructor(options: RoamingOptions, firstNode: number) {
    this.#options = options
    this.#next = firstNode
  }

  get isOnline(): boolean {
    return this.#actor !== undefined
  }

  /** Whether all that it wrote was acknowledged. */
  get isHeard(): boolean {
    return this.#unacked.length === 0
  }

  /** Stays online until it is told to end. */
  async live(): Promise<void> {
    let awaySinceMs = performance.now()
    while (!this.#hasEnded) {
      const actor = await this.#comesBack().catch(() => undefined)
      if (actor === undefined) {
        await pause(RETRY_MS)
        continue
      }
      this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - awaySinceMs)
      this.#actor = actor
      await this.#listens(actor)
      this.#actor = undefined
      awaySinceMs = performance.now()
    }
  }

  /** Writes a message, now or when it is online again. */
  writes(): void {
    const { name, peer } = this.#options
    const id = `${name}-${this.written.length + 1}`
    this.written.push(id)
    this.#put({ id, xml: `<message type="chat" to="${peer}@localhost" id="${id}"><body>${id}</body></message>` })
  }

  async ends(): Promise<void> {
    this.#hasEnded = true
    await this.#actor?.vanishes()
  }

  async #comesBack(): Promise<Actor> {
    const { name, password, ports } = this.#options
    const port = ports[this.#next++ % ports.length] ?? 0
    const actor = await visit(port)
    try {
      await actor.logsIn(name, password)
      if (this.#token !== undefined) {
        await actor.sends(`<resume xmlns="${SM}" previd="${this.#token}" h="${this.#heard}"/>`)
        const answer = await actor.next()
        this.#acknowledged(Number(answer.attrs.h ?? this.#acked))
        if (answer.name === 'resumed') {
          this.counts.resumed++
          await actor.sends(`${this.#unacked.map(({ xml }) => xml).join('')}<r xmlns="${SM}"/>`)
          return actor
        }
        this.counts.refused++
      }
      await this.#binds(actor)
      return actor
    } catch (error) {
      await actor.vanishes()
      throw error
    }
  }

  async #binds(actor: Actor): Promise<void> {
    await actor.binds('roaming')
    await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
    this.#token = (await actor.next()).attrs.id
    this.#heard = 0
    this.#acked = 0
    const again = this.#unacked
    this.#unacked = []
    await actor.sends('<presence/>')
    this.#unacked.push({ id: '', xml: '<presence/>' })
    for (const outgoing of again) if (outgoing.id !== '') this.#put(outgoing, actor)
  }

  #put(outgoing: Outgoing, actor = this.#actor): void {
    this.#unacked.push(outgoing)
    void actor?.sends(`${outgoing.xml}<r xmlns="${SM}"/>`)
  }

  async #listens(actor: Actor): Promise<void> {
    for (;;) {
      let element: Element
      try {
        element = await actor.next()
      } catch {
        if (actor.hasEnded || this.#hasEnded) return
        continue
      }
      if (element.ns === SM && element.name === 'r') void actor.sends(`<a xmlns="${SM}" h="${this.#heard}"/>`)
      else if (element.ns === SM && element.name === 'a') this.#acknowledged(Number(element.attrs.h))
      else if (element.name === 'message' || element.name === 'presence' || element.name === 'iq') {
        this.#heard++
        const { id } = element.attrs
        if (element.name === 'message' && id !== undefined) this.received.push(id)
      }
    }
  }

  #acknowledged(h: number): void {
    this.#unacked.splice(0, h - this.#acked)
    this.#acked = h
  }
}
