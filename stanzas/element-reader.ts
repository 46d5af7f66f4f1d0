import { Element, type Node } from './element.ts'
import { NS_CLIENT, NS_XML } from './namespaces.ts'
import { ATTRIBUTE_SIZE, COLON_AT, DECLARES, END, tag, VALUE_END, VALUE_START } from './start-tag.ts'
import { borrowTokenizer, NO_SCOPE, returnTokenizer, type Scope, type Sink, type Tokenizer, TRUSTED } from './tokenizer.ts'
import { attributeText, cdataText, characterText, type Wire, wire } from './wire.ts'
import { malformed } from './xml-error.ts'
import { interned } from './xml-names.ts'

/** A stanza's payloads stand in its namespace. */
export const clientScope = (bindings: Scope['bindings']): Scope =>
  bindings.length === 0 ? CLIENT_SCOPE : { ns: NS_CLIENT, bindings }

const CLIENT_SCOPE: Scope = { ns: NS_CLIENT, bindings: [] }

const SMALL_BYTES = 65_536
const scratch = Buffer.allocUnsafeSlow(SMALL_BYTES)

/** The bytes of wire text, for a reader that is done with them before anyone else asks. */
export const bytesOf = (text: Wire): Buffer => {
  if (text.length > SMALL_BYTES) return Buffer.from(text, 'latin1')
  scratch.write(text, 0, 'latin1')
  return scratch
}

/** Builds the tree of the one element that a tokenizer reads. */
class TreeSink implements Sink {
  root: Element | undefined
  readonly #tokenizer: Tokenizer
  readonly #source: Wire
  readonly #open: Node[][] = []

  constructor(tokenizer: Tokenizer, source: Wire) {
    this.#tokenizer = tokenizer
    this.#source = source
  }

  open(ns: string, tokenizer: Tokenizer): void {
    const children: Node[] = []
    const name = interned(tokenizer.bytes, tag.colon === -1 ? tag.nameStart : tag.colon + 1, tag.nameEnd)
    const element = new Element(ns, name, this.#attributes(), children)
    if (this.root === undefined) this.root = element
    else this.#open[this.#open.length - 1]?.push(element)
    this.#open.push(children)
  }

  text(start: number, end: number): void {
    this.#add(characterText(this.#slice(start, end)))
  }

  cdata(start: number, end: number): void {
    if (end > start) this.#add(cdataText(this.#slice(start, end)))
  }

  close(): void {
    this.#open.pop()
  }

  #add(text: string): void {
    const siblings = this.#open[this.#open.length - 1]
    if (siblings === undefined) return
    const last = siblings.length - 1
    const before = siblings[last]
    if (typeof before === 'string') siblings[last] = before + text
    else siblings.push(text)
  }

  #attributes(): Readonly<Record<string, string>> {
    const attrs: Record<string, string> = {}
    const numbers = tag.attributes
    for (let at = 0; at < tag.count * ATTRIBUTE_SIZE; at += ATTRIBUTE_SIZE) {
      if (numbers[at + DECLARES] === 1) continue
      const name = this.#attributeName(at)
      const value = attributeText(this.#slice(numbers[at + VALUE_START] as number, numbers[at + VALUE_END] as number))
      // Assigning this name would change the object's prototype.
      if (name === '__proto__')
        Object.defineProperty(attrs, name, { value, enumerable: true, configurable: true, writable: true })
      else attrs[name] = value
    }
    return attrs
  }

  #attributeName(at: number): string {
    const tokenizer = this.#tokenizer
    const start = tag.attributes[at] as number
    const end = tag.attributes[at + END] as number
    const colon = tag.attributes[at + COLON_AT] as number
    if (colon === -1) return interned(tokenizer.bytes, start, end)
    const ns = tokenizer.resolve(start, colon)
    const name = interned(tokenizer.bytes, colon + 1, end)
    return ns === NS_XML && name === 'lang' ? 'xml:lang' : `{${ns}}${name}`
  }

  #slice(start: number, end: number): Wire {
    const base = this.#tokenizer.base
    return wire(this.#source.slice(start - base, end - base))
  }
}

/** Reads the element that stands at those bytes in this scope, whole and alone; `source` is their text. */
export const readElement = (bytes: Buffer, start: number, end: number, source: Wire, scope: Scope): Element => {
  const tokenizer = borrowTokenizer()
  const sink = new TreeSink(tokenizer, source)
  tokenizer.begin(bytes, start, end, scope, TRUSTED, sink)
  const isComplete = bytes[start] === 0x3c && tokenizer.run() && tokenizer.pos === end
  returnTokenizer(tokenizer)
  return isComplete && sink.root !== undefined ? sink.root : malformed('this is not one whole element')
}

/** Reads one whole element from wire text that is in this scope. */
export const readWireElement = (text: Wire, scope: Scope): Element => readElement(bytesOf(text), 0, text.length, text, scope)

/** Reads a stream's header, a start tag whose element stays open; `undefined` when the bytes end first. */
export const readHeader = (tokenizer: Tokenizer): Element | undefined => {
  const { bytes, base, end, limits } = tokenizer
  const sink = new TreeSink(tokenizer, wire(bytes.toString('latin1', base, end)))
  tokenizer.begin(bytes, base, end, NO_SCOPE, limits, sink)
  return tokenizer.openOnly() ? sink.root : undefined
}

/** Reads one whole element. */
export const parseElement = (text: Wire): Element => readWireElement(text, NO_SCOPE)

/** The decoded character data of an element's content that holds no markup; `undefined` when it holds some. */
export const plainText = (content: Wire): string | undefined => (content.includes('<') ? undefined : characterText(content))
