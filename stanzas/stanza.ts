import { Contents } from './contents.ts'
import type { Element } from './element.ts'
import { bytesOf, clientScope } from './element-reader.ts'
import { type Address, addressOf } from './jid.ts'
import type { Payload } from './payload.ts'
import { ATTRIBUTE_SIZE, END, VALUE_END, VALUE_START } from './start-tag.ts'
import { borrowTokenizer, returnTokenizer, type Tokenizer, TRUSTED } from './tokenizer.ts'
import { attributeText, detach, escapeAttribute, toWire, type Wire, wire } from './wire.ts'
import { malformed } from './xml-error.ts'
import { interned } from './xml-names.ts'

export type { Payload } from './payload.ts'

/** The three kinds of stanza (RFC 6120 §8.2). */
export type StanzaKind = 'message' | 'presence' | 'iq'

/** What a forwarded copy says differently; an absent key keeps what was there, an `undefined` value leaves it out. */
export interface Restamp {
  readonly from?: Address | undefined
  readonly to?: Address | undefined
  readonly id?: string | undefined
  readonly type?: string | undefined
  readonly drop?: (payload: Payload, stanza: Stanza) => boolean
  readonly append?: Wire | Element | readonly Element[]
}

/** The attributes of a stanza that the server makes itself. */
export interface StanzaAttributes {
  readonly from?: Address | undefined
  readonly to?: Address | undefined
  readonly id?: string | undefined
  readonly type?: string | undefined
  readonly lang?: string | undefined
}

/** A stanza's own attributes but its addresses, as they stand on the wire with the white space before them; `''` when there is none. */
interface Head {
  readonly id: Wire
  readonly type: Wire
  readonly typeText: string | undefined
  readonly lang: Wire
  /** All others, `xml:lang` and the declarations that payloads need among them. */
  readonly others: Wire
}

const NONE = wire('')
const NO_ATTRIBUTES: Head = { id: NONE, type: NONE, typeText: undefined, lang: NONE, others: NONE }

const OPEN = { message: '<message', presence: '<presence', iq: '<iq' } as const
const CLOSE = { message: '</message>', presence: '</presence>', iq: '</iq>' } as const

const attribute = (name: string, value: string | undefined): Wire =>
  value === undefined ? NONE : wire(` ${name}='${escapeAttribute(value)}'`)

/** The value of a whole attribute: what stands between its first quote and its last character, the same quote. */
const decoded = (raw: Wire): string | undefined =>
  raw === '' ? undefined : attributeText(wire(raw.slice(raw.indexOf(raw.charAt(raw.length - 1)) + 1, -1)))

/** An address attribute as it came may hold one kind of quote. */
const rawAddress = (name: string, raw: Wire): string => (raw.includes("'") ? ` ${name}="${raw}"` : ` ${name}='${raw}'`)

/**
 * One stanza. Its kind, its attributes and the names of its payloads are known; everything else stays the bytes that came.
 * It is never edited: `restamp` makes a copy that shares what did not change.
 */
export class Stanza {
  readonly kind: StanzaKind
  readonly #head: Head
  readonly #contents: Contents
  /** The attribute as it came; `undefined` when there is none, or when the address was stamped. */
  #fromRaw: Wire | undefined
  #toRaw: Wire | undefined
  /** `null` until somebody asks. */
  #from: Address | undefined | null = null
  #to: Address | undefined | null = null
  /** The wire text from behind the addresses to the end, which copies for many recipients share. */
  #rest: Wire | undefined
  #wire: Wire | undefined

  private constructor(kind: StanzaKind, head: Head, contents: Contents) {
    this.kind = kind
    this.#head = head
    this.#contents = contents
  }

  /** Takes over the stanza that a tokenizer has just read, or `undefined` when it is another element. `source` is the element's own text. */
  static read(tokenizer: Tokenizer, source: Wire): Stanza | undefined {
    const kind = tokenizer.clientName
    if (kind !== 'message' && kind !== 'presence' && kind !== 'iq') return undefined
    const { inherited, declared, innerStart, innerEnd } = tokenizer
    const bindings = inherited.length === 0 ? declared : [...inherited, ...declared]
    const attributes = new Attributes(tokenizer, source)
    for (const { prefix, uri } of inherited) attributes.declare(prefix, uri)

    const stanza = new Stanza(kind, attributes, new Contents(source, innerStart, innerEnd, tokenizer.children.slice(), bindings))
    stanza.#fromRaw = attributes.from
    stanza.#toRaw = attributes.to
    if (!attributes.differs) stanza.#wire = source
    return stanza
  }

  /** Makes a stanza of the server's own. */
  static make(kind: StanzaKind, attrs: StanzaAttributes, contents: Contents): Stanza {
    const { id, type, lang } = attrs
    const stanza = new Stanza(kind, lang === undefined ? NO_ATTRIBUTES : withLang(lang), contents).restamp({ id, type })
    stanza.#from = attrs.from
    stanza.#to = attrs.to
    return stanza
  }

  get id(): string | undefined {
    return decoded(this.#head.id)
  }

  get type(): string | undefined {
    return this.#head.typeText
  }

  get lang(): string | undefined {
    return decoded(this.#head.lang)
  }

  /** The prepared address; `undefined` when there is none or it is malformed. */
  get from(): Address | undefined {
    if (this.#from === null) this.#from = this.#fromRaw === undefined ? undefined : addressOf(this.#fromRaw)
    return this.#from
  }

  /** The prepared address; `undefined` when there is none or it is malformed. */
  get to(): Address | undefined {
    if (this.#to === null) this.#to = this.#toRaw === undefined ? undefined : addressOf(this.#toRaw)
    return this.#to
  }

  /** Whether a `to` or `from` stands there that is no JID (RFC 6120 §8.3.3.8). */
  get hasMalformedAddress(): boolean {
    return (this.#toRaw !== undefined && this.to === undefined) || (this.#fromRaw !== undefined && this.from === undefined)
  }

  get payloads(): readonly Payload[] {
    return this.#contents.payloads
  }

  has(ns: string, name: string): boolean {
    return this.#contents.find(ns, name) !== undefined
  }

  /** The first such child as a tree, which is made when it is asked for. */
  get(ns: string, name: string): Element | undefined {
    const child = this.#contents.find(ns, name)
    return child === undefined ? undefined : this.#contents.element(child)
  }

  /** The decoded character data of the first such child. */
  text(ns: string, name: string): string | undefined {
    const child = this.#contents.find(ns, name)
    return child === undefined ? undefined : this.#contents.text(child)
  }

  /** All first-level children as trees. */
  elements(): readonly Element[] {
    return this.#contents.elements()
  }

  /** A copy that says something else in its start tag, or has children more or fewer; the bytes of all others are untouched. */
  restamp(change: Restamp): Stanza {
    let contents = this.#contents
    if (change.drop !== undefined) contents = contents.without(change.drop, this)
    if (change.append !== undefined) contents = contents.with(change.append)
    const head = 'id' in change || 'type' in change ? revised(this.#head, change) : this.#head

    const copy = new Stanza(this.kind, head, contents)
    if (head === this.#head && contents === this.#contents) copy.#rest = this.#encodeRest()
    if ('from' in change) copy.#from = change.from
    else {
      copy.#from = this.#from
      copy.#fromRaw = this.#fromRaw
    }
    if ('to' in change) copy.#to = change.to
    else {
      copy.#to = this.#to
      copy.#toRaw = this.#toRaw
    }
    return copy
  }

  /** The whole text; jabber:client is the default namespace where it goes, and is not declared. */
  get wire(): Wire {
    this.#wire ??= this.encode()
    return this.#wire
  }

  /** The same text for who needs it once: this stanza may live on, and does not keep it. */
  encode(): Wire {
    return this.#wire ?? wire(this.#encodeStart('') + this.#encodeRest())
  }

  /** The whole text with its namespace declared, for a frame (RFC 7395 §3.3.3) or inside another element (XEP-0297 §3). */
  get selfContained(): Wire {
    return wire(this.#encodeStart(" xmlns='jabber:client'") + this.#encodeRest())
  }

  /** How many bytes `wire` has. */
  get size(): number {
    return this.wire.length
  }

  /** The same stanza in a text of its own, for whoever keeps it longer than a turn of the loop. */
  detach(): Stanza {
    // Not `wire`, which may be the text as it came, with white space in its end tag.
    const start = this.#encodeStart('')
    const source = detach(wire(start + this.#encodeRest()))
    const end = this.#contents.length === 0 ? source.length : source.length - CLOSE[this.kind].length
    const head = this.#head
    const own: Head = {
      ...head,
      id: detach(head.id),
      type: detach(head.type),
      lang: detach(head.lang),
      others: detach(head.others),
    }
    const copy = new Stanza(this.kind, own, this.#contents.in(source, end - this.#contents.length))
    copy.#wire = source
    copy.#rest = wire(source.slice(start.length))
    copy.#from = this.#from
    copy.#to = this.#to
    copy.#fromRaw = this.#fromRaw === undefined ? undefined : detach(this.#fromRaw)
    copy.#toRaw = this.#toRaw === undefined ? undefined : detach(this.#toRaw)
    return copy
  }

  #encodeStart(declaration: string): string {
    let text: string = OPEN[this.kind]
    if (declaration !== '') text += declaration
    if (this.#fromRaw !== undefined) text += rawAddress('from', this.#fromRaw)
    else if (this.#from) text += ` from='${this.#from.wire}'`
    if (this.#toRaw !== undefined) text += rawAddress('to', this.#toRaw)
    else if (this.#to) text += ` to='${this.#to.wire}'`
    return text
  }

  #encodeRest(): Wire {
    if (this.#rest !== undefined) return this.#rest
    const { id, type, others } = this.#head
    const contents = this.#contents
    this.#rest = wire(id + type + others + (contents.length === 0 ? '/>' : contents.wire + CLOSE[this.kind]))
    return this.#rest
  }
}

/** Sorts the attributes of a stanza that a tokenizer has read. */
class Attributes implements Head {
  id = NONE
  type = NONE
  typeText: string | undefined = undefined
  lang = NONE
  others = NONE
  from: Wire | undefined = undefined
  to: Wire | undefined = undefined
  /** Whether the stanza's text declares its namespace, or uses prefixes that it does not declare. */
  differs = false

  constructor(tokenizer: Tokenizer, source: Wire) {
    const { attributes, bytes, base } = tokenizer
    for (let at = 0; at < tokenizer.attributesLength; at += ATTRIBUTE_SIZE) {
      const start = attributes[at] as number
      const valueStart = attributes[at + VALUE_START] as number
      const valueEnd = attributes[at + VALUE_END] as number
      switch (interned(bytes, base + start, base + (attributes[at + END] as number))) {
        case 'to':
          this.to = wire(source.slice(valueStart, valueEnd))
          break
        case 'from':
          this.from = wire(source.slice(valueStart, valueEnd))
          break
        case 'id':
          this.id = wire(source.slice(start - 1, valueEnd + 1))
          break
        case 'type':
          this.type = wire(source.slice(start - 1, valueEnd + 1))
          this.typeText = interned(bytes, base + valueStart, base + valueEnd)
          break
        case 'xmlns':
          this.differs = true
          break
        case 'xml:lang':
          this.lang = wire(source.slice(start - 1, valueEnd + 1))
          this.others = wire(this.others + this.lang)
          break
        default:
          this.others = wire(this.others + source.slice(start - 1, valueEnd + 1))
      }
    }
  }

  /** Declares a prefix that stands for itself no longer once the stanza leaves its stream. */
  declare(prefix: string, uri: string): void {
    this.others = wire(this.others + attribute(`xmlns:${toWire(prefix)}`, uri))
    this.differs = true
  }
}

const withLang = (lang: string): Head => {
  const whole = attribute('xml:lang', lang)
  return { ...NO_ATTRIBUTES, lang: whole, others: whole }
}

const revised = (head: Head, change: Restamp): Head => ({
  id: 'id' in change ? attribute('id', change.id) : head.id,
  type: 'type' in change ? attribute('type', change.type) : head.type,
  typeText: 'type' in change ? change.type : head.typeText,
  lang: head.lang,
  others: head.others,
})

/** A stanza that the server makes itself; it is written once and never read again. */
export const stanza = (kind: StanzaKind, attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  Stanza.make(kind, attrs, Contents.of(children))

/** A message that the server makes itself. */
export const message = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('message', attrs, ...children)

/** A presence that the server makes itself. */
export const presence = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('presence', attrs, ...children)

/** An iq that the server makes itself. */
export const iq = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('iq', attrs, ...children)

/** Reads one complete stanza back, from storage or the bus. */
export const parseStanza = (text: Wire): Stanza => {
  const tokenizer = borrowTokenizer()
  tokenizer.begin(bytesOf(text), 0, text.length, clientScope([]), TRUSTED)
  const isComplete = text.startsWith('<') && tokenizer.run() && tokenizer.pos === text.length
  const read = isComplete ? Stanza.read(tokenizer, text) : undefined
  returnTokenizer(tokenizer)
  return read ?? malformed('this is not one whole stanza')
}
