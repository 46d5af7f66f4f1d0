import type { Element } from './element.ts'
import { readElement, readHeader } from './element-reader.ts'
import { NS_CLIENT, NS_STREAMS } from './namespaces.ts'
import { serialize } from './serialize.ts'
import { parseStanza, Stanza } from './stanza.ts'
import { tag } from './start-tag.ts'
import { borrowTokenizer, NO_SCOPE, returnTokenizer, type Scope, type Tokenizer, type XmlLimits } from './tokenizer.ts'
import { UnfinishedElement } from './unfinished-element.ts'
import { escapeAttribute, type Wire, wire } from './wire.ts'
import { readCharacter } from './xml-chars.ts'
import { readXmlDeclaration } from './xml-declaration.ts'
import { malformed, restricted, XmlError } from './xml-error.ts'
import { CLASS, SPACE } from './xml-names.ts'

export { parseElement } from './element-reader.ts'
export type { XmlLimits } from './tokenizer.ts'
export { XmlError, type XmlErrorCondition } from './xml-error.ts'

/** Whoever reads a stream; called in document order, from within `write`. */
export interface XmlStreamHandler {
  /** The stream header; `contentNs` is the default namespace it declares, `''` when none. */
  onOpen(header: Element, contentNs: string): void
  /** A first-level message, presence or iq in jabber:client. */
  onStanza(stanza: Stanza): void
  /** Any other first-level element. */
  onElement(element: Element): void
  /** The stream's end tag. */
  onClose(): void
}

const BANG = 0x21
const SLASH = 0x2f
const LESS_THAN = 0x3c
const GREATER_THAN = 0x3e
const QUESTION = 0x3f
const BRACKET = 0x5b

/** What may come next: an XML declaration or the header; the same behind white space of the stream before; the header; elements; nothing. */
type State = 'start' | 'restarted' | 'header' | 'content' | 'closed'

/** A prefix for the streams namespace and a default namespace: what nearly every header declares, kept once for all. */
const USUAL_SCOPE: Scope = { ns: NS_CLIENT, bindings: [{ prefix: 'stream', uri: NS_STREAMS }] }

const usual = (scope: Scope): Scope => {
  const [binding, another] = scope.bindings
  const isUsual = scope.ns === NS_CLIENT && another === undefined && binding?.prefix === 'stream' && binding.uri === NS_STREAMS
  return isUsual ? USUAL_SCOPE : scope
}

/**
 * Reads one peer's bytes, strictly and wherever they are cut. Complete elements are read where they stand in their chunk; only one that is cut is copied,
 * and what reading it needs is given back when it is done, so that a stream that waits holds next to nothing.
 */
export class XmlStream {
  /** May be replaced at any time; holds from the next byte on. */
  limits: XmlLimits
  readonly #handler: XmlStreamHandler
  readonly #framing: 'stream' | 'frames'
  #state: State = 'start'
  /** The name of the header's tag as it was written. */
  #root = ''
  #scope: Scope = NO_SCOPE
  #unfinished: UnfinishedElement | undefined

  constructor(handler: XmlStreamHandler, limits: XmlLimits, framing: 'stream' | 'frames') {
    this.#handler = handler
    this.limits = limits
    this.#framing = framing
  }

  /** Reads the next bytes, or one whole frame; throws an XmlError when they may not stand there. */
  write(chunk: Buffer): void {
    if (this.#state === 'closed') return
    if (this.#framing === 'frames') this.#readFrame(chunk)
    else if (this.#unfinished === undefined) this.#readChunk(chunk, 0)
    else if (this.#state === 'restarted') this.#readAgain(this.#unfinished, chunk)
    else this.#continue(this.#unfinished, chunk)
  }

  /** What follows is a new stream header, even in the same chunk (RFC 6120 §4.3.3). */
  restart(): void {
    if (this.#state === 'closed' || this.#framing === 'frames') return
    this.#state = 'restarted'
    this.#root = ''
    this.#scope = NO_SCOPE
  }

  /** The header of the stream that is being read, with these attributes in place of its own: what follows can be read behind it somewhere else. */
  header(attributes: string): Wire {
    const { ns, bindings } = this.#scope
    const declared = bindings.map(({ prefix, uri }) => ` xmlns:${prefix}='${escapeAttribute(uri)}'`).join('')
    return wire(`<${this.#root} xmlns='${escapeAttribute(ns)}'${declared}${attributes}>`)
  }

  /** The end tag of the stream. */
  get endTag(): Wire {
    return wire(`</${this.#root}>`)
  }

  /** The bytes of an element whose end has not come yet. */
  get unread(): Buffer {
    return this.#unfinished?.bytes ?? Buffer.alloc(0)
  }

  /** Ends reading: no callback comes after this call, the rest is ignored. */
  stop(): void {
    this.#state = 'closed'
    this.#unfinished = undefined
  }

  #readChunk(chunk: Buffer, from: number): void {
    const tokenizer = borrowTokenizer()
    tokenizer.bytes = chunk
    tokenizer.pos = from
    while (this.#readNext(tokenizer, chunk.length)) {}
    if (this.#state === 'closed' || tokenizer.base === chunk.length) returnTokenizer(tokenizer)
    else this.#unfinished = new UnfinishedElement(tokenizer, chunk)
  }

  /** Goes on with an element whose beginning came in earlier chunks. */
  #continue(unfinished: UnfinishedElement, chunk: Buffer): void {
    const before = unfinished.length
    if (!unfinished.add(chunk, this.limits.maxStanzaBytes)) return
    const { tokenizer } = unfinished
    tokenizer.limits = this.limits
    // A handler that restarts or stops the stream finds it between two elements.
    this.#unfinished = undefined
    if (this.#readNext(tokenizer, unfinished.length)) {
      const rest = tokenizer.pos - before
      returnTokenizer(tokenizer)
      if (this.#state !== 'closed') this.#readChunk(chunk, rest)
    } else {
      unfinished.pause()
      this.#unfinished = unfinished
    }
  }

  /** The stream was restarted while an element was unfinished: its bytes belong to the new stream. */
  #readAgain(unfinished: UnfinishedElement, chunk: Buffer): void {
    returnTokenizer(unfinished.tokenizer)
    this.#unfinished = undefined
    this.#readChunk(Buffer.concat([unfinished.bytes, chunk]), 0)
  }

  /** Reads one more item and tells the handler; `false` when the bytes end first, or when nothing more is to be read. */
  #readNext(tokenizer: Tokenizer, end: number): boolean {
    if (this.#state === 'closed') return false
    if (tokenizer.depth === 0 && !this.#skipSpace(tokenizer, end)) return false
    // RFC 6120 §13.12: no more is looked at, nor kept, than one element may have.
    const limit = tokenizer.base + this.limits.maxStanzaBytes
    if (tokenizer.pos > limit) throw new XmlError('policy-violation', 'the element is too large')
    tokenizer.end = Math.min(end, limit)
    if (tokenizer.depth > 0 ? this.#readElement(tokenizer) : this.#readItem(tokenizer)) return true
    if (tokenizer.end === limit) throw new XmlError('policy-violation', 'the element is too large')
    return false
  }

  /** Moves to the next item; white space between elements keeps a connection alive (RFC 6120 §4.6.1). */
  #skipSpace(tokenizer: Tokenizer, end: number): boolean {
    const { bytes, pos } = tokenizer
    const p = skipSpace(bytes, pos, end)
    // XML 1.0 §2.8: nothing stands before the declaration; after a restart, white space still belongs to the stream before.
    if (p > pos && this.#state === 'start') this.#state = 'header'
    tokenizer.begin(bytes, p, end, this.#scope, this.limits)
    return p < end
  }

  /** Reads what begins at `base`. */
  #readItem(tokenizer: Tokenizer): boolean {
    const { bytes, base, end } = tokenizer
    if (bytes[base] !== LESS_THAN) return refuseText(bytes, base, end, this.#state)
    if (base + 1 === end) return false
    const next = bytes[base + 1]
    if (next === BANG) return refuseDeclaration(bytes, base, end)
    if (next === QUESTION) return this.#readDeclaration(tokenizer)
    if (this.#state !== 'content') return this.#readHeader(tokenizer)
    return next === SLASH ? this.#readClose(tokenizer) : this.#readElement(tokenizer)
  }

  #readDeclaration(tokenizer: Tokenizer): boolean {
    if (this.#state !== 'start' && this.#state !== 'restarted') restricted('processing instructions are not allowed')
    const after = readXmlDeclaration(tokenizer.bytes, tokenizer.base, tokenizer.end)
    if (after === -1) return false
    tokenizer.pos = after
    this.#state = 'header'
    return true
  }

  #readHeader(tokenizer: Tokenizer): boolean {
    const header = readHeader(tokenizer)
    if (header === undefined) return false
    if (header.name !== 'stream') throw new XmlError('bad-format', 'a stream begins with its header')
    // RFC 6120 §4.9.3.10.
    if (header.ns !== NS_STREAMS) throw new XmlError('invalid-namespace', 'the header is in another namespace')
    const { contentNs, declared } = tokenizer
    const isEmpty = tokenizer.depth === 0
    tokenizer.depth = 0
    this.#root = tokenizer.bytes.toString('latin1', tag.nameStart, tag.nameEnd)
    this.#scope = usual({ ns: contentNs, bindings: declared })
    this.#state = 'content'
    this.#handler.onOpen(header, contentNs)
    if (isEmpty) this.#close()
    return true
  }

  #readElement(tokenizer: Tokenizer): boolean {
    if (!tokenizer.run()) return false
    this.#tell(tokenizer)
    return true
  }

  /** Tells the handler of the element that was just read. */
  #tell(tokenizer: Tokenizer): void {
    const { bytes, base, pos } = tokenizer
    const source = wire(bytes.toString('latin1', base, pos))
    const stanza = Stanza.read(tokenizer, source)
    if (stanza !== undefined) {
      this.#handler.onStanza(stanza)
      return
    }
    const element = readElement(bytes, base, pos, source, tokenizer.scope)
    // RFC 6120 §4.8.5: the content namespace may have a prefix; everybody else is spared it.
    if (element.ns === NS_CLIENT && isStanzaKind(element.name)) this.#handler.onStanza(parseStanza(serialize(element, NS_CLIENT)))
    else this.#handler.onElement(element)
  }

  #readClose(tokenizer: Tokenizer): boolean {
    const { bytes, base, end } = tokenizer
    const root = this.#root
    for (let k = 0; k < root.length; k++) {
      if (base + 2 + k === end) return false
      if (bytes[base + 2 + k] !== root.charCodeAt(k)) malformed('the end tag does not match')
    }
    const p = skipSpace(bytes, base + 2 + root.length, end)
    if (p === end) return false
    if (bytes[p] !== GREATER_THAN) malformed('the end tag does not match')
    tokenizer.pos = p + 1
    this.#close()
    return true
  }

  #close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#handler.onClose()
  }

  /** RFC 7395 §3.3.3: each frame is a document of its own, and begins with `<`. */
  #readFrame(frame: Buffer): void {
    const end = frame.length
    if (end > this.limits.maxStanzaBytes) throw new XmlError('policy-violation', 'the frame is too large')
    let start = 0
    if (frame[0] === LESS_THAN && frame[1] === QUESTION) {
      start = readXmlDeclaration(frame, 0, end)
      if (start !== -1) start = skipSpace(frame, start, end)
    }
    if (start === -1 || frame[start] !== LESS_THAN) malformed('a frame is one whole element')
    if (frame[start + 1] === BANG) refuseDeclaration(frame, start, end)
    const tokenizer = borrowTokenizer()
    tokenizer.begin(frame, start, end, NO_SCOPE, this.limits)
    if (!tokenizer.run() || skipSpace(frame, tokenizer.pos, end) !== end) malformed('a frame is one whole element')
    this.#tell(tokenizer)
    returnTokenizer(tokenizer)
  }
}

const isStanzaKind = (name: string): boolean => name === 'message' || name === 'presence' || name === 'iq'

const skipSpace = (bytes: Buffer, from: number, end: number): number => {
  let p = from
  while (p < end && ((CLASS[bytes[p] as number] as number) & SPACE) !== 0) p++
  return p
}

/** Refuses what stands where only elements may, once enough of it is there to tell what it is. */
const refuseText = (bytes: Buffer, start: number, end: number, state: State): boolean => {
  const byte = bytes[start] as number
  // RFC 6120 §11.6: 0xFE and 0xFF begin a byte order mark of UTF-16, and nothing in UTF-8.
  if (byte >= 0xfe && state === 'start') throw new XmlError('unsupported-encoding', 'XMPP is UTF-8')
  if (state !== 'content') malformed('a stream begins with its header')
  return readCharacter(bytes, start, end) === -1 ? false : refuseContent()
}

/** RFC 6120 §4.4: a stream holds elements, and white space between them; text there is well-formed, but nothing to process (§4.9.3.1). */
const refuseContent = (): never => {
  throw new XmlError('bad-format', 'text may not stand between elements')
}

/** Refuses what begins with `<!` outside of elements, once enough of it is there to tell. */
const refuseDeclaration = (bytes: Buffer, start: number, end: number): boolean => {
  if (start + 2 >= end) return false
  if (bytes[start + 2] === BRACKET) refuseContent()
  return restricted('comments and document types are not allowed')
}
