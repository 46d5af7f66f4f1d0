/*
 * What clients send, in about the proportions in which they send it: of a hundred stanzas 70 chat messages with a body of 100 characters, a receipt
 * request and the usual company (440 bytes), 15 presences with capabilities, 5 roster requests, 5 roster results of 20 contacts, 5 OMEMO bundles of 4 KB.
 */

/** A small generator of the same numbers for the same seed (mulberry32). */
export const numbers = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The header that comes before the corpus. */
export const HEADER =
  "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

const WORDS =
  'soft what light through yonder window breaks it is the east and Juliet is the sun arise fair sun &amp; kill naïve 😀'.split(
    ' ',
  )
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Writes stanzas, one after the other, from one row of numbers. */
export class Corpus {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = numbers(seed)
  }

  stanzas(count: number): readonly Buffer[] {
    return Array.from({ length: count }, () => Buffer.from(this.any()))
  }

  any(): string {
    const lot = this.#next()
    if (lot < 0.7) return this.message()
    if (lot < 0.85) return this.presence()
    if (lot < 0.9) return `<iq type='get' id='${this.#hex(8)}'><query xmlns='jabber:iq:roster' ver='${this.#hex(8)}'/></iq>`
    return lot < 0.95 ? this.roster() : this.bundle()
  }

  message(): string {
    let body = ''
    while (body.length < 92) body += `${WORDS[this.#below(WORDS.length * (this.#next() < 0.1 ? 1 : 0.85))]} `
    const id = `${this.#hex(8)}-${this.#hex(4)}-${this.#hex(4)}-${this.#hex(4)}-${this.#hex(12)}`
    return `<message xmlns="jabber:client" type="chat" to="user${this.#below(1000)}@example.org" id="${id}"><body>${body}</body><request xmlns="urn:xmpp:receipts"/><markable xmlns="urn:xmpp:chat-markers:0"/><origin-id xmlns="urn:xmpp:sid:0" id="${id}"/><active xmlns="http://jabber.org/protocol/chatstates"/></message>`
  }

  presence(): string {
    return `<presence id='${this.#hex(8)}'><show>away</show><status>back at ${this.#below(24)}:00</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://gajim.org' ver='${this.#base64(27)}='/><x xmlns='vcard-temp:x:update'><photo>${this.#hex(40)}</photo></x></presence>`
  }

  roster(): string {
    const items = Array.from(
      { length: 20 },
      (_, k) =>
        `<item jid='contact${this.#below(1e6)}@example.net' name='Contact ${k}' subscription='both'><group>Friends</group></item>`,
    )
    return `<iq type='result' id='${this.#hex(8)}'><query xmlns='jabber:iq:roster' ver='${this.#hex(8)}'>${items.join('')}</query></iq>`
  }

  bundle(): string {
    const keys = Array.from({ length: 38 }, (_, k) => `<preKeyPublic preKeyId='${k + 1}'>${this.#base64(44)}</preKeyPublic>`)
    return `<iq type='set' id='${this.#hex(8)}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='eu.siacs.conversations.axolotl.bundles:${this.#below(2e9)}'><item id='current'><bundle xmlns='eu.siacs.conversations.axolotl'><signedPreKeyPublic signedPreKeyId='1'>${this.#base64(44)}</signedPreKeyPublic><signedPreKeySignature>${this.#base64(88)}</signedPreKeySignature><identityKey>${this.#base64(44)}</identityKey><prekeys>${keys.join('')}</prekeys></bundle></item></publish></pubsub></iq>`
  }

  /** The same bytes in pieces as a socket gives them: from one byte to a full segment. */
  pieces(stanzas: readonly Buffer[]): readonly Buffer[] {
    const all = Buffer.concat(stanzas)
    const pieces: Buffer[] = []
    for (let at = 0; at < all.length; ) {
      const length = 1 + this.#below(1448)
      pieces.push(all.subarray(at, at + length))
      at += length
    }
    return pieces
  }

  #below(limit: number): number {
    return Math.floor(this.#next() * limit)
  }

  #hex(length: number): string {
    return Array.from({ length }, () => this.#below(16).toString(16)).join('')
  }

  #base64(length: number): string {
    return Array.from({ length }, () => BASE64[this.#below(64)]).join('')
  }
}
