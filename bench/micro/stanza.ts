import { createRequire } from 'node:module'
import { StringDecoder } from 'node:string_decoder'
import { type Address, addressOf } from '#stanzas/jid.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import { wire } from '#stanzas/wire.ts'
import { XmlStream } from '#stanzas/xml-stream.ts'
import { Corpus, HEADER } from './corpus.ts'

/*
 * What one stanza costs in CPU: read; read, stamped and written; and one more copy of it for another recipient. `node bench/micro/stanza.ts`
 * prints microseconds per stanza, the median of several rounds, beside ltx doing the same work on the same bytes.
 */

const COUNT = 2000
const ROUNDS = 9
const LIMITS = { maxStanzaBytes: 262_144, maxDepth: 64, maxAttributes: 64, maxElements: 4_096, maxPayloads: 256 }
const APPENDED = wire("<stanza-id xmlns='urn:xmpp:sid:0' by='user42@example.org' id='01JD8Z3V4Q9'/>")

const address = (text: string): Address => {
  const found = addressOf(wire(text))
  if (found === undefined) throw new Error(`${text} is no address`)
  return found
}
const FROM = address('user17@example.org/phone.8a7b')
const TO = address('user42@example.org/desk.11cd')
const isStanzaId = (payload: Payload): boolean => payload.name === 'stanza-id' && payload.ns === 'urn:xmpp:sid:0'

let sink = 0
const write = (stanza: Stanza): void => {
  sink += Buffer.from(stanza.wire, 'latin1').length
}
const relay = (stanza: Stanza): void => write(stanza.restamp({ from: FROM, to: TO, drop: isStanzaId, append: APPENDED }))
const look = (stanza: Stanza): void => {
  sink += stanza.payloads.length
}

const read = (pieces: readonly Buffer[], onStanza: (stanza: Stanza) => void): void => {
  const refuse = (): never => {
    throw new Error('the corpus holds stanzas only')
  }
  const stream = new XmlStream({ onOpen: () => {}, onStanza, onElement: refuse, onClose: refuse }, LIMITS, 'stream')
  stream.write(Buffer.from(HEADER))
  for (const piece of pieces) stream.write(piece)
}

/** What of ltx is used here: its types say less than it does. */
interface LtxElement {
  readonly attrs: { from?: string; to?: string }
  c(name: string, attrs: Record<string, string>): LtxElement
  toString(): string
}
interface LtxParser {
  on(event: 'element', listener: (element: LtxElement) => void): void
  on(event: 'start' | 'error', listener: () => void): void
  write(text: string): void
}
const { default: Parser } = createRequire(import.meta.url)('@xmpp/xml/lib/Parser.js') as { readonly default: new () => LtxParser }

const readLtx = (pieces: readonly Buffer[], onElement: (element: LtxElement) => void): void => {
  const parser = new Parser()
  const decoder = new StringDecoder('utf8')
  parser.on('start', () => {})
  parser.on('element', onElement)
  parser.write(HEADER)
  for (const piece of pieces) parser.write(decoder.write(piece))
}
const relayLtx = (element: LtxElement): void => {
  element.attrs.from = FROM.jid
  element.attrs.to = TO.jid
  element.c('stanza-id', { xmlns: 'urn:xmpp:sid:0', by: 'user42@example.org', id: '01JD8Z3V4Q9' })
  sink += Buffer.from(element.toString()).length
}

const fanOut = (stanzas: readonly Stanza[]): void => {
  for (const stanza of stanzas) write(stanza.restamp({ from: FROM, to: TO }))
}

const measure = (name: string, count: number, work: () => void): void => {
  for (let round = 0; round < 6; round++) work()
  const costs = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage()
    for (let times = 0; times < 3; times++) work()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / (3 * count)
  }).sort((a, b) => a - b)
  const [least = 0, median = 0] = [costs[0], costs[ROUNDS >> 1]]
  console.log(`${name.padEnd(48)} ${median.toFixed(2).padStart(7)} µs   least ${least.toFixed(2)}`)
}

const corpus = new Corpus(42)
const all = corpus.stanzas(COUNT)
const pieces = corpus.pieces(all)
const messages = Array.from({ length: COUNT }, () => Buffer.from(corpus.message()))
const meanBytes = (stanzas: readonly Buffer[]): string =>
  (stanzas.reduce((sum, { length }) => sum + length, 0) / COUNT).toFixed(0)
const kept: Stanza[] = []
read(messages, (stanza) => kept.push(stanza))

console.log(`CPU per stanza; messages of ${meanBytes(messages)} bytes, all kinds ${meanBytes(all)} bytes on average`)
measure('message: read', COUNT, () => read(messages, look))
measure('message: read, restamp, encode', COUNT, () => read(messages, relay))
measure('message: one more copy', COUNT, () => fanOut(kept))
measure('all kinds: read', COUNT, () => read(all, look))
measure('all kinds: read, restamp, encode', COUNT, () => read(all, relay))
measure('all kinds, 1 to 1448 bytes a time: the same', COUNT, () => read(pieces, relay))
measure('ltx, message: read', COUNT, () => readLtx(messages, () => {}))
measure('ltx, message: read, restamp, encode', COUNT, () => readLtx(messages, relayLtx))
measure('ltx, all kinds: read, restamp, encode', COUNT, () => readLtx(all, relayLtx))
measure('ltx, 1 to 1448 bytes a time: the same', COUNT, () => readLtx(pieces, relayLtx))
if (sink === 0) console.log('nothing was done')
