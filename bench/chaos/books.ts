import { attributeOf } from '../client/login.ts'
import type { DevicePlan } from './population.ts'

/** One copy of a message, as a device received it. */
export type Copy = {
  readonly device: string
  readonly atMs: number
  readonly node: string
  /** Which session of the device this was; resumption goes on with one. */
  readonly session: number
  /** By the recipient's own account (XEP-0359 §5). */
  readonly stanzaId: string | undefined
}

/** What the sender and its recipients remember of one message. */
export type Message = {
  readonly id: string
  readonly from: DevicePlan
  readonly to: string
  readonly sequence: number
  readonly sentAtMs: number
  /** Each time it was written to a connection. */
  readonly writes: { readonly atMs: number; readonly node: string; readonly session: number }[]
  ackedAtMs: number | undefined
  /** The condition of the error that came back. */
  refused: string | undefined
  readonly copies: Copy[]
}

/** A message that came to a device after a later one of the same sender. */
export type Disorder = { readonly device: string; readonly message: Message; readonly after: Message; readonly atMs: number }

/** What all clients remember. */
export class Books {
  readonly messages: Message[] = []
  readonly disorders: Disorder[] = []
  /** What nobody has sent. */
  readonly strangers: string[] = []
  readonly #byId = new Map<string, Message>()
  readonly #sequences = new Map<string, number>()
  /** The latest message of each sender that each device has. */
  readonly #latest = new Map<string, Message>()

  find(id: string): Message | undefined {
    return this.#byId.get(id)
  }

  /** Writes down a message that a device has decided to send. */
  compose(from: DevicePlan, to: string, atMs: number): Message {
    const way = `${from.name}-${to}`
    const sequence = this.#sequences.get(way) ?? 0
    this.#sequences.set(way, sequence + 1)
    const message: Message = {
      id: `${way}-${sequence}`,
      from,
      to,
      sequence,
      sentAtMs: atMs,
      writes: [],
      ackedAtMs: undefined,
      refused: undefined,
      copies: [],
    }
    this.messages.push(message)
    this.#byId.set(message.id, message)
    return message
  }

  /** Takes a message stanza that a device received. */
  receive(
    device: DevicePlan,
    xml: string,
    place: { readonly atMs: number; readonly node: string; readonly session: number; readonly account: string },
  ): { readonly message: Message; readonly copy: Copy; readonly isNew: boolean } | undefined {
    const message = this.#byId.get(attributeOf(xml, 'id') ?? '')
    if (message === undefined) {
      this.strangers.push(`${device.name}: ${xml.slice(0, 300)}`)
      return undefined
    }
    if (attributeOf(xml, 'type') === 'error') {
      message.refused ??= conditionOf(xml)
      return undefined
    }
    const { account, ...where } = place
    const isNew = message.copies.every((copy) => copy.device !== device.name)
    const copy = { device: device.name, ...where, stanzaId: stanzaIdIn(xml, account) }
    message.copies.push(copy)
    if (isNew) this.#checkOrder(device, message, place.atMs)
    return { message, copy, isNew }
  }

  #checkOrder(device: DevicePlan, message: Message, atMs: number): void {
    const way = `${message.from.name}>${device.name}`
    const latest = this.#latest.get(way)
    if (latest !== undefined && latest.sequence > message.sequence)
      this.disorders.push({ device: device.name, message, after: latest, atMs })
    else this.#latest.set(way, message)
  }
}

const conditionOf = (xml: string): string =>
  /<([a-z-]+) xmlns=['"]urn:ietf:params:xml:ns:xmpp-stanzas['"]/.exec(xml.slice(xml.indexOf('<error')))?.[1] ?? 'error'

const stanzaIdIn = (xml: string, account: string): string | undefined => {
  for (const [tag] of xml.matchAll(/<stanza-id\b[^>]*>/g)) if (attributeOf(tag, 'by') === account) return attributeOf(tag, 'id')
  return undefined
}
