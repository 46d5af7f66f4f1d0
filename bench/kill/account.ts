import { setTimeout as sleep } from 'node:timers/promises'
import { PASSWORD, usernameOf } from '../client/accounts.ts'
import type { Connection } from '../client/connection.ts'
import { attributeOf, bind, type LoggedIn, logIn, resume } from '../client/login.ts'
import type { KillOptions } from './options.ts'

const SM = `xmlns='urn:xmpp:sm:3'`
const BACK_WITHIN_MS = 30_000

type Outgoing = { readonly sequence: number | undefined; readonly xml: string }

/**
 * A client as it should be: it counts what it hears (XEP-0198), resumes when it can, and otherwise binds anew and sends again, with the
 * same ids, what was not acknowledged.
 */
export class Account {
  readonly index: number
  readonly #options: KillOptions
  /** Messages acknowledged so far; they are acknowledged in the order they were sent. */
  acked = 0
  resumptions = 0
  onMessage: (xml: string) => void = () => undefined
  onAck: () => void = () => undefined
  #connection: Connection | undefined
  #resumeId: string | undefined
  #heard = 0
  #handledByServer = 0
  #unacked: Outgoing[] = []

  constructor(index: number, options: KillOptions) {
    this.index = index
    this.#options = options
  }

  get bareJid(): string {
    return `${usernameOf(this.index)}@${this.#options.target.domain}`
  }

  get unackedCount(): number {
    return this.#unacked.length
  }

  send(outgoing: Outgoing): void {
    this.#unacked.push(outgoing)
    this.#connection?.send(outgoing.xml)
  }

  requestAck(): void {
    this.#connection?.send(`<r ${SM}/>`)
  }

  stall(): void {
    this.#connection?.stall()
  }

  drop(): void {
    this.#connection?.destroy()
    this.#connection = undefined
  }

  /** Comes online, or back, and tries until the server answers; false if it never does. */
  async comeOnline(): Promise<boolean> {
    const until = Date.now() + BACK_WITHIN_MS
    while (Date.now() < until) {
      try {
        await this.#attempt()
        return true
      } catch {
        this.drop()
        await sleep(200)
      }
    }
    return false
  }

  async #attempt(): Promise<void> {
    const { target, mechanism } = this.#options
    const loggedIn = await logIn(target, { username: usernameOf(this.index), password: PASSWORD, mechanism })
    loggedIn.connection.onClose = () => {
      this.#connection = undefined
    }
    if (this.#resumeId !== undefined) {
      const { resumed, handled } = await resume(loggedIn, this.#resumeId, this.#heard)
      // XEP-0198 §5: a refusal, too, may say what was handled before.
      if (handled !== undefined) this.#acknowledge(handled)
      if (resumed) {
        this.resumptions++
        this.#takeUp(loggedIn)
        for (const { xml } of this.#unacked) this.#connection?.send(xml)
        this.requestAck()
        return
      }
    }
    await this.#beginSession(loggedIn)
  }

  async #beginSession(loggedIn: LoggedIn): Promise<void> {
    const { resumeId } = await bind(loggedIn, { resource: 'kill', streamManagement: true })
    this.#resumeId = resumeId
    this.#heard = 0
    this.#handledByServer = 0
    const again = this.#unacked.filter(({ sequence }) => sequence !== undefined)
    this.#unacked = []
    this.#takeUp(loggedIn)
    this.send({ sequence: undefined, xml: `<presence xmlns='jabber:client'/>` })
    for (const outgoing of again) this.send(outgoing)
    this.requestAck()
  }

  #takeUp({ connection, handOver }: LoggedIn): void {
    this.#connection = connection
    handOver((xml) => this.#hear(xml))
  }

  #hear(xml: string): void {
    if (/^<r[\s/>]/.test(xml)) {
      this.#connection?.send(`<a ${SM} h='${this.#heard}'/>`)
    } else if (/^<a\s/.test(xml)) {
      this.#acknowledge(Number(attributeOf(xml, 'h')))
      this.onAck()
    } else if (/^<(message|presence|iq)\b/.test(xml)) {
      this.#heard++
      if (xml.startsWith('<message')) this.onMessage(xml)
    }
  }

  #acknowledge(handled: number): void {
    for (; this.#handledByServer < handled; this.#handledByServer++) {
      if (this.#unacked.shift()?.sequence !== undefined) this.acked++
    }
  }
}
