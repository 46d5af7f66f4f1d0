import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../conformance/fuzz/chance.ts'
import { PASSWORD } from '../client/accounts.ts'
import { attributeOf, bind, type LoggedIn, logIn, resume } from '../client/login.ts'
import { StanzaCounts } from '../client/stanza-counts.ts'
import type { Books, Message } from './books.ts'
import { DOMAIN } from './options.ts'
import type { DevicePlan } from './population.ts'

const SM = `xmlns='urn:xmpp:sm:3'`
const CLIENT = `xmlns='jabber:client'`
/** How often a client asks whether it is heard. */
const ASK_MS = 1_000
/** Who is not answered for so long drops its connection, as clients on phones do. */
const GIVE_UP_MS = 4_000
const LOGIN_MS = 8_000
const RETRY_MS = { least: 150, span: 700 }
/** Who writes while it has no connection keeps so many messages. */
const MAX_WAITING = 15
const GOODBYE_MS = 2_000

/** What a device is told of the world, and tells it. */
export type World = {
  readonly books: Books
  readonly chance: Chance
  /** The addresses of all nodes, up or not: a client does not know. */
  readonly entrances: readonly { readonly node: string; readonly port: number }[]
  readonly nowMs: () => number
  readonly onAcked: (messages: number) => void
  readonly onReceived: () => void
  /** The server did what no server may. */
  readonly onBrokenRule: (what: string) => void
  readonly tell: (device: string, event: string, detail: Readonly<Record<string, unknown>>) => void
}

type Outgoing = { readonly message: Message | undefined; readonly xml: string }
type Link = { readonly loggedIn: LoggedIn; readonly node: string; isLost: boolean }

/** How a device came back. */
export type Return = 'resumed' | 'refused' | 'bound'

/**
 * A client as it should be. With XEP-0198 it counts, resumes over any node, and after a refusal binds anew and sends again, with the same ids,
 * what was not acknowledged. Without, it takes the answer to a ping for the acknowledgement of all that it sent before.
 */
export class Device {
  readonly plan: DevicePlan
  readonly returns: Record<Return, number> = { resumed: 0, refused: 0, bound: 0 }
  /** Sessions that began because the one before could not be resumed. */
  readonly refusedSessions = new Set<number>()
  session = 0
  readonly #world: World
  readonly #counts = new StanzaCounts<Outgoing>()
  #link: Link | undefined
  #resumeId: string | undefined
  #isWanted = true
  #hasEnded = false
  #asks: number[] = []
  #onlineSinceMs: number | undefined
  #wantedSinceMs = 0
  #replies = new Map<string, (xml: string) => void>()
  #onResult: ((xml: string) => void) | undefined

  constructor(plan: DevicePlan, world: World) {
    this.plan = plan
    this.#world = world
  }

  get bareJid(): string {
    return `${this.plan.account}@${DOMAIN}`
  }

  get isWanted(): boolean {
    return this.#isWanted
  }

  get isOnline(): boolean {
    return this.#link !== undefined
  }

  get unacked(): readonly Message[] {
    return this.#counts.unacked.flatMap(({ message }) => message ?? [])
  }

  /** Whether it is online and its latest questions are answered, or has not been at it for as long as a login may take. */
  isServed(withinMs: number): boolean {
    const now = this.#world.nowMs()
    if (!this.#isWanted || (this.#onlineSinceMs === undefined && now - this.#wantedSinceMs < withinMs)) return true
    const [oldest] = this.#asks
    return this.#link !== undefined && (oldest === undefined || now - oldest < withinMs)
  }

  /** Lives until it is told to end: is online whenever it is wanted. */
  async live(): Promise<void> {
    this.#wantedSinceMs = this.#world.nowMs()
    const heart = setInterval(() => this.#beat(), 250)
    while (!this.#hasEnded) {
      if (this.#isWanted && this.#link === undefined && !(await this.#attempt())) {
        await sleep(RETRY_MS.least + this.#world.chance.below(RETRY_MS.span))
      }
      await sleep(20)
    }
    clearInterval(heart)
  }

  /** Writes a message to an account, now or when it is online again; not while it is away, or has too much that waits. */
  write(to: string): boolean {
    if (!this.#isWanted || this.#counts.unacked.length >= MAX_WAITING) return false
    const message = this.#world.books.compose(this.plan, to, this.#world.nowMs())
    this.#send({ message, xml: stanzaOf(message) })
    return true
  }

  /** Goes away, with a goodbye if everything it sent is acknowledged in time, or without a word. */
  async goAway(saysGoodbye: boolean): Promise<void> {
    this.#isWanted = false
    const until = this.#world.nowMs() + GOODBYE_MS
    if (saysGoodbye) this.#ask()
    while (saysGoodbye && this.#link !== undefined && this.#counts.unacked.length > 0 && this.#world.nowMs() < until)
      await sleep(50)
    const isPolite = saysGoodbye && this.#link !== undefined && this.#counts.unacked.length === 0
    if (isPolite) {
      this.#link?.loggedIn.connection.close()
      this.#resumeId = undefined
      await sleep(200)
    }
    this.#drop(isPolite ? 'said goodbye' : 'went away')
  }

  comeBack(): void {
    this.#isWanted = true
    this.#onlineSinceMs = undefined
    this.#wantedSinceMs = this.#world.nowMs()
  }

  /** Ends for good, without a word. */
  end(): void {
    this.#hasEnded = true
    this.#isWanted = false
    this.#drop('ended')
  }

  /** Sends a request; results that come before the reply go to `onResult`. */
  request(id: string, xml: string, onResult: (xml: string) => void): Promise<string> {
    this.#onResult = onResult
    return new Promise((resolve, reject) => {
      const impatience = setTimeout(() => reject(new Error(`${this.plan.name}: no answer to ${id}`)), 60_000)
      this.#replies.set(id, (reply) => {
        clearTimeout(impatience)
        this.#replies.delete(id)
        resolve(reply)
      })
      this.#send({ message: undefined, xml })
    })
  }

  async #attempt(): Promise<boolean> {
    const { entrances, chance, tell } = this.#world
    const entrance = entrances[chance.below(entrances.length)]
    if (entrance === undefined) return false
    const patience = new AbortController()
    const timer = setTimeout(() => patience.abort(), LOGIN_MS)
    try {
      const target = { kind: 'tcp', port: entrance.port, domain: DOMAIN } as const
      const credentials = { username: this.plan.account, password: PASSWORD, mechanism: 'PLAIN' } as const
      const loggedIn = await logIn(target, credentials, patience.signal)
      const link: Link = { loggedIn, node: entrance.node, isLost: false }
      const { connection } = loggedIn
      const before = connection.onClose
      connection.onClose = () => {
        before()
        link.isLost = true
        if (this.#link === link) this.#drop('closed')
      }
      const how = await this.#takeUp(link)
      this.returns[how]++
      if (!this.#isWanted) this.#drop('went away')
      tell(this.plan.name, 'online', { node: link.node, how, session: this.session, unacked: this.#counts.unacked.length })
      return true
    } catch (error) {
      patience.abort()
      tell(this.plan.name, 'attempt-failed', { node: entrance.node, why: error instanceof Error ? error.message : String(error) })
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  async #takeUp(link: Link): Promise<Return> {
    let how: Return = 'bound'
    if (this.#resumeId !== undefined) {
      const { resumed, handled } = await resume(link.loggedIn, this.#resumeId, this.#counts.heard)
      if (link.isLost) throw new Error('lost while resuming')
      // XEP-0198 §5: a refusal, too, may say what was handled before.
      if (handled !== undefined) this.#acknowledge(handled)
      if (resumed) {
        this.#begin(link)
        for (const outgoing of this.#counts.unacked) this.#put(link, outgoing)
        this.#ask()
        return 'resumed'
      }
      how = 'refused'
    }
    const { resumeId } = await bind(link.loggedIn, { resource: this.plan.resource, streamManagement: this.plan.resumes })
    if (link.isLost) throw new Error('lost while binding')
    this.session++
    if (how === 'refused') this.refusedSessions.add(this.session)
    this.#resumeId = resumeId
    const again = this.#counts.restart().filter(({ message }) => message !== undefined)
    this.#begin(link)
    this.#send({ message: undefined, xml: `<presence ${CLIENT}/>` })
    for (const outgoing of again) this.#send(outgoing)
    this.#ask()
    return how
  }

  #begin(link: Link): void {
    this.#link = link
    this.#asks = []
    this.#onlineSinceMs ??= this.#world.nowMs()
    link.loggedIn.handOver((xml) => this.#hear(link, xml))
  }

  #send(outgoing: Outgoing): void {
    this.#counts.send(outgoing)
    if (this.#link !== undefined) this.#put(this.#link, outgoing)
  }

  #put({ loggedIn, node }: Link, { message, xml }: Outgoing): void {
    message?.writes.push({ atMs: this.#world.nowMs(), node, session: this.session })
    loggedIn.connection.send(xml)
  }

  #drop(why: string): void {
    const link = this.#link
    if (link === undefined) return
    this.#link = undefined
    this.#asks = []
    link.loggedIn.connection.destroy()
    this.#world.tell(this.plan.name, 'offline', { node: link.node, why, heard: this.#counts.heard })
  }

  #beat(): void {
    if (this.#link === undefined) return
    const now = this.#world.nowMs()
    const [oldest] = this.#asks
    if (oldest !== undefined && now - oldest > GIVE_UP_MS) this.#drop('not answered')
    else if (now - (this.#asks.at(-1) ?? 0) > ASK_MS && this.#asks.length < GIVE_UP_MS / ASK_MS) this.#ask()
  }

  #ask(): void {
    if (this.#link === undefined) return
    this.#asks.push(this.#world.nowMs())
    if (this.plan.resumes) this.#link.loggedIn.connection.send(`<r ${SM}/>`)
    else {
      const id = `ping-${this.#counts.sent}`
      this.#link.loggedIn.connection.send(`<iq ${CLIENT} type='get' id='${id}' to='${DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>`)
    }
  }

  #hear(link: Link, xml: string): void {
    // What a connection still says after it was given up is not heard: the client would count it twice.
    if (this.#link !== link) return
    if (/^<r[\s/>]/.test(xml)) {
      link.loggedIn.connection.send(`<a ${SM} h='${this.#counts.heard}'/>`)
    } else if (/^<a\s/.test(xml)) {
      this.#answered(Number(attributeOf(xml, 'h')))
    } else if (/^<(message|presence|iq)\b/.test(xml)) {
      this.#counts.hear()
      this.#hearStanza(link, xml)
    } else if (!/^<(enabled|resumed)\b/.test(xml)) {
      this.#world.tell(this.plan.name, 'told', { node: link.node, xml: xml.slice(0, 300) })
    }
  }

  #hearStanza(link: Link, xml: string): void {
    const id = attributeOf(xml, 'id') ?? ''
    if (xml.startsWith('<iq')) {
      if (id.startsWith('ping-')) this.#answered(Number(id.slice('ping-'.length)))
      else this.#replies.get(id)?.(xml)
    } else if (xml.startsWith('<message')) {
      if (xml.includes(`urn:xmpp:mam:2`) && xml.includes('<result')) return this.#onResult?.(xml)
      const place = { atMs: this.#world.nowMs(), node: link.node, session: this.session, account: this.bareJid }
      const received = this.#world.books.receive(this.plan, xml, place)
      if (received?.isNew === true) this.#world.onReceived()
      const { message, copy } = received ?? {}
      const isLate = xml.includes('urn:xmpp:delay')
      this.#world.tell(this.plan.name, 'received', {
        id,
        h: this.#counts.heard,
        stanzaId: copy?.stanzaId,
        isLate,
        sentAt: message?.sentAtMs,
      })
    }
  }

  #answered(handled: number): void {
    this.#asks.shift()
    this.#acknowledge(handled)
  }

  #acknowledge(handled: number): void {
    if (handled > this.#counts.sent)
      return this.#world.onBrokenRule(`${this.plan.name}: h is ${handled}, and ${this.#counts.sent} were sent`)
    const messages = this.#counts.acknowledge(handled).flatMap(({ message }) => message ?? [])
    for (const message of messages) message.ackedAtMs ??= this.#world.nowMs()
    if (messages.length > 0) this.#world.onAcked(messages.length)
  }
}

const stanzaOf = ({ id, to }: Message): string =>
  `<message ${CLIENT} type='chat' to='${to}@${DOMAIN}' id='${id}'><body>${id}</body><origin-id xmlns='urn:xmpp:sid:0' id='${id}'/></message>`
