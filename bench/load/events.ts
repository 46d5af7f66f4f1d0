import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { usernameOf } from '../client/accounts.ts'
import type { Connection } from '../client/connection.ts'
import { attributeOf } from '../client/login.ts'
import { costs, percentiles, read, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { leave, sessionsOf } from './sessions.ts'

const NS = `xmlns='jabber:client'`
const NODE = 'http://jabber.org/protocol/tune'
const FEATURES = ['http://jabber.org/protocol/disco#info', NODE, `${NODE}+notify`]
const VER = createHash('sha1')
  .update(`client/pc//bench<${FEATURES.map((feature) => `${feature}<`).join('')}`)
  .digest('base64')
const CAPS = `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:bench' ver='${VER}'/>`
const SETUP_MS = 60_000
const DRAIN_MS = 20_000

/** Some accounts publish to all others, which are their contacts and want their events (XEP-0163): a publisher's next item goes out when everybody has one of those under way. */
export async function events(options: LoadOptions): Promise<Record<string, number>> {
  const { serverPid, window, publishers = 1 } = options
  const connections = await sessionsOf(options, 0, options.accounts, { resource: 'load' })
  const circle = new Circle(connections, publishers, options.target.domain)
  await circle.meets()
  await readWhenQuiet(serverPid)

  circle.begin(window)
  await sleep(options.warmupSeconds * 1000)
  circle.latenciesMs.length = 0
  const deliveredBefore = circle.delivered
  const from = read(serverPid)
  await sleep(options.seconds * 1000)
  circle.publishing = false
  await circle.drained()
  const wallSeconds = (circle.lastArrivalMs - from.atMs) / 1000
  const to = await readWhenQuiet(serverPid)

  const units = circle.delivered - deliveredBefore
  leave(connections)
  return {
    delivered: circle.delivered,
    delivered_per_s: units / wallSeconds,
    lost: circle.published * circle.contacts - circle.delivered,
    reordered: circle.reordered,
    failed_conns: circle.closed,
    error_stanzas: circle.errors,
    ...percentiles('lat_', circle.latenciesMs),
    ...costs('', '1000_delivered', from, to, units / 1000),
  }
}

interface UnderWay {
  readonly publisher: number
  readonly sentAtMs: number
  /** Contacts that have not received it yet. */
  left: number
}

/** The publishers, and behind them their contacts. */
class Circle {
  publishing = true
  published = 0
  delivered = 0
  reordered = 0
  errors = 0
  closed = 0
  lastArrivalMs = 0
  readonly latenciesMs: number[] = []
  readonly contacts: number
  readonly #connections: readonly Connection[]
  readonly #publishers: number
  readonly #jids: readonly string[]
  readonly #run = 100_000 + Math.floor(Math.random() * 900_000)
  /** The last number that each connection received, by publisher. */
  readonly #lastOf: readonly number[][]
  readonly #underWay = new Map<number, UnderWay>()
  #isMeeting = true
  #greeted = 0
  #friends = 0

  constructor(connections: readonly Connection[], publishers: number, domain: string) {
    this.#connections = connections
    this.#publishers = publishers
    this.contacts = connections.length - publishers
    this.#jids = connections.map((_, at) => `${usernameOf(at)}@${domain}`)
    this.#lastOf = connections.map(() => [])
    for (const [at, connection] of connections.entries()) {
      connection.onClose = () => this.closed++
      connection.onStanza = (xml) => {
        if (xml.startsWith('<message')) this.#arrive(at, xml)
        else if (xml.startsWith('<presence')) this.#befriend(at, xml)
        else if (xml.startsWith('<iq')) this.#answer(connection, xml)
      }
    }
  }

  /** Everybody says what its client can do, and publishers and contacts subscribe to each other. */
  async meets(): Promise<void> {
    for (const connection of this.#connections)
      connection.send(`<iq ${NS} type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence ${NS}>${CAPS}</presence>`)
    for (const publisher of this.#connections.slice(0, this.#publishers))
      for (const jid of this.#jids.slice(this.#publishers)) publisher.send(`<presence ${NS} type='subscribe' to='${jid}'/>`)
    const until = performance.now() + SETUP_MS
    const pairs = this.contacts * this.#publishers
    while (this.#friends < pairs) {
      if (performance.now() > until) throw new Error(`${this.#friends} of ${pairs} contacts are subscribed`)
      await sleep(20)
    }
    // ejabberd looks at the caps of those who were contacts already when their presence came.
    for (const connection of this.#connections) connection.send(`<presence ${NS}>${CAPS}</presence>`)
    // One item of each for everybody says that all are known to be interested; servers may still be asking.
    for (let tries = 0; this.#greeted < pairs; tries++) {
      if (performance.now() > until) throw new Error(`${this.#greeted} of ${pairs} contacts get events`)
      this.#greeted = 0
      for (let publisher = 0; publisher < this.#publishers; publisher++) this.#publish(publisher, `hello-${tries}`)
      await sleep(500)
    }
    this.#isMeeting = false
  }

  begin(window: number): void {
    for (let publisher = 0; publisher < this.#publishers; publisher++) for (let at = 0; at < window; at++) this.#next(publisher)
  }

  async drained(): Promise<void> {
    const until = performance.now() + DRAIN_MS
    while (this.#underWay.size > 0 && performance.now() < until) await sleep(5)
  }

  #next(publisher: number): void {
    const sequence = this.published++
    this.#underWay.set(sequence, { publisher, left: this.contacts, sentAtMs: performance.now() })
    this.#publish(publisher, `${this.#run}-${sequence}`)
  }

  #publish(publisher: number, title: string): void {
    this.#connections[publisher]?.send(
      `<iq ${NS} type='set' id='p-${title}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='${NODE}'><item id='current'>` +
        `<tune xmlns='${NODE}'><artist>Gerald Finzi</artist><length>255</length><title>${title}</title><track>1</track></tune>` +
        '</item></publish></pubsub></iq>',
    )
  }

  #arrive(at: number, xml: string): void {
    if (at < this.#publishers) return
    const title = textBetween(xml, '<title>', '</title>')
    if (this.#isMeeting) {
      this.#greeted++
      return
    }
    const sequence = title.startsWith(`${this.#run}-`) ? Number(title.slice(title.indexOf('-') + 1)) : Number.NaN
    const item = this.#underWay.get(sequence)
    if (item === undefined) {
      this.errors++
      return
    }
    const last = this.#lastOf[at] ?? []
    if (sequence <= (last[item.publisher] ?? -1)) this.reordered++
    last[item.publisher] = sequence
    this.delivered++
    this.lastArrivalMs = performance.now()
    this.latenciesMs.push(this.lastArrivalMs - item.sentAtMs)
    if (--item.left > 0) return
    this.#underWay.delete(sequence)
    if (this.publishing) this.#next(item.publisher)
  }

  #befriend(at: number, xml: string): void {
    const type = attributeOf(xml, 'type')
    const from = (attributeOf(xml, 'from') ?? '').split('/')[0]
    const connection = this.#connections[at]
    if (type === 'subscribe') {
      connection?.send(`<presence ${NS} type='subscribed' to='${from}'/>`)
      if (at >= this.#publishers) connection?.send(`<presence ${NS} type='subscribe' to='${from}'/>`)
    }
    if (type === 'subscribed' && at >= this.#publishers) this.#friends++
  }

  #answer(connection: Connection, xml: string): void {
    const type = attributeOf(xml, 'type')
    if (type === 'error') this.errors++
    if (type !== 'get' || !xml.includes('disco#info')) return
    const node = attributeOf(xml.slice(xml.indexOf('<query')), 'node')
    connection.send(
      `<iq ${NS} type='result' id='${attributeOf(xml, 'id')}' to='${attributeOf(xml, 'from')}'>` +
        `<query xmlns='http://jabber.org/protocol/disco#info'${node === undefined ? '' : ` node='${node}'`}><identity category='client' type='pc' name='bench'/>` +
        `${FEATURES.map((feature) => `<feature var='${feature}'/>`).join('')}</query></iq>`,
    )
  }
}

function textBetween(text: string, from: string, to: string): string {
  const start = text.indexOf(from) + from.length
  return text.slice(start, text.indexOf(to, start))
}
