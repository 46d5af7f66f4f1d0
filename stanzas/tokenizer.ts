import { keepTag, knownIsEmpty, knownLength, knownName, knownNameLength, knownNs, recallTag } from './known-tags.ts'
import { NS_CLIENT, NS_XML } from './namespaces.ts'
import { Child } from './payload.ts'
import { ATTRIBUTE_SIZE, COLON_AT, DECLARES, END, readStartTag, tag, VALUE_END, VALUE_START } from './start-tag.ts'
import { readCdata, readText, stoppedAt } from './xml-chars.ts'
import { malformed, restricted, XmlError } from './xml-error.ts'
import { CLASS, interned, SPACE, sameBytes } from './xml-names.ts'

/*
 * The only reader of XML in the server. It works on bytes and checks all of them, but makes objects only for what routing needs: of a stanza, the
 * places of its attributes and its first-level children. Whoever wants more gives a sink and is told of every tag and text, by the same code.
 *
 * A tokenizer reads one first-level element at a time. When bytes are missing it returns with `pos` where reading goes on; its owner calls again
 * once more bytes stand behind the same ones. A tag is read in one go, so a tag that was cut is read again from its `<`.
 */

/** How much one peer may ask for; checked before memory is spent. Depth counts from the first-level element, which is 1. */
export interface XmlLimits {
  readonly maxStanzaBytes: number
  readonly maxDepth: number
  /** Also how many prefixes may be declared at one place: each use of one looks through them. */
  readonly maxAttributes: number
  /** In one first-level element, itself included: small elements cost far more time than their bytes. */
  readonly maxElements: number
  /** Of one stanza: whoever looks for a payload looks through them. */
  readonly maxPayloads: number
}

/** What the server has checked before needs no limits when it is read back. */
export const TRUSTED: XmlLimits = {
  maxStanzaBytes: Number.MAX_SAFE_INTEGER,
  maxDepth: Number.MAX_SAFE_INTEGER,
  maxAttributes: Number.MAX_SAFE_INTEGER,
  maxElements: Number.MAX_SAFE_INTEGER,
  maxPayloads: Number.MAX_SAFE_INTEGER,
}

/** A namespace prefix and what it stands for. */
export interface Binding {
  readonly prefix: string
  readonly uri: string
}

/** The namespaces in force around an element. */
export interface Scope {
  readonly ns: string
  readonly bindings: readonly Binding[]
}

/** The scope of a document that declares all it uses. */
export const NO_SCOPE: Scope = { ns: '', bindings: [] }

/** Whoever wants every tag and text of an element. Offsets are into the tokenizer's bytes. */
export interface Sink {
  /** An element begins; what its tag says is in `tag` until this returns. */
  open(ns: string, tokenizer: Tokenizer): void
  text(start: number, end: number): void
  cdata(start: number, end: number): void
  close(): void
}

const NS_XMLNS = 'http://www.w3.org/2000/xmlns/'
const NONE = Buffer.alloc(0)
const NO_CHILDREN: Child[] = []
const CDATA_START = Buffer.from('<![CDATA[')
const SLASH = 0x2f
const LESS_THAN = 0x3c
const GREATER_THAN = 0x3e
const BANG = 0x21
const QUESTION = 0x3f

/** Reads one first-level element, strictly, and in as many goes as its bytes take to come. */
export class Tokenizer {
  /** The bytes of the element stand from `base`; nothing at or behind `end` is read yet. */
  bytes: Buffer = NONE
  base = 0
  pos = 0
  end = 0
  /** How many elements are open. */
  depth = 0
  scope: Scope = NO_SCOPE
  limits: XmlLimits = TRUSTED

  /** The name of the first-level element when it is unprefixed and in jabber:client; `''` otherwise. Only its children are listed. */
  clientName = ''
  children: Child[] = []
  /** Where the first-level element's content begins and ends, and its attributes' names and values, counted from `base`. */
  innerStart = 0
  innerEnd = 0
  attributes = new Int32Array(16 * ATTRIBUTE_SIZE)
  attributesLength = 0
  /** Bindings of the scope that the element uses. */
  inherited: Binding[] = []
  /** Bindings that the first-level element declares. */
  declared: Binding[] = []

  #sink: Sink | undefined
  #inCdata = false
  #elements = 0
  readonly #nameStarts: number[] = [0]
  readonly #nameLengths: number[] = [0]
  readonly #defaults: string[] = ['']
  readonly #bindings: Binding[] = []
  readonly #bindingDepths: number[] = []

  /** Makes ready for an element that begins at `base`. */
  begin(bytes: Buffer, base: number, end: number, scope: Scope, limits: XmlLimits, sink?: Sink): void {
    this.bytes = bytes
    this.base = base
    this.pos = base
    this.end = end
    this.depth = 0
    this.scope = scope
    this.limits = limits
    this.clientName = ''
    this.#sink = sink
    this.#inCdata = false
    this.#elements = 0
    this.#defaults[0] = scope.ns
    if (this.#bindings.length > 0) this.#forget()
    if (this.inherited.length > 0) this.inherited = []
    if (this.declared.length > 0) this.declared = []
  }

  /** Lets go of all that was read. */
  release(): void {
    this.bytes = NONE
    this.depth = 0
    this.scope = NO_SCOPE
    this.children = NO_CHILDREN
    this.#sink = undefined
  }

  /** Reads the element to its end; `false` when the bytes end first. */
  run(): boolean {
    const bytes = this.bytes
    const end = this.end
    let p = this.pos
    if (this.#inCdata) p = this.#cdata(p)
    while (p !== -1) {
      const content = p
      if (bytes[p] !== LESS_THAN) {
        p = readText(bytes, p, end)
        if (p === -1) {
          this.pos = stoppedAt
          return false
        }
        this.#sink?.text(content, p)
      }
      this.pos = p
      if (p + 1 >= end) return false
      const next = bytes[p + 1]
      if (next === SLASH) p = this.#endTag(p)
      else if (next === BANG) p = this.#startCdata(p)
      else if (next === QUESTION) restricted('processing instructions are not allowed')
      else p = this.#startTag(p)
      if (this.depth === 0 && p !== -1) {
        this.pos = p
        return true
      }
    }
    return false
  }

  /** Reads a start tag alone, for the header of a stream; `false` when the bytes end first. */
  openOnly(): boolean {
    const after = this.#startTag(this.pos)
    if (after === -1) return false
    this.pos = after
    return true
  }

  /** The default namespace inside the first-level element. */
  get contentNs(): string {
    return this.#defaults[1] ?? ''
  }

  #startTag(start: number): number {
    if (this.depth === 1 && this.#sink === undefined && this.clientName !== '' && this.limits.maxAttributes > 0) {
      const slot = recallTag(this.bytes, start, this.end)
      if (slot !== -1) return this.#knownTag(start, slot)
    }
    const after = readStartTag(this.bytes, start, this.end, this.limits.maxAttributes)
    if (after === -1) return -1
    const depth = this.depth + 1
    if (depth > this.limits.maxDepth) throw new XmlError('policy-violation', 'elements are nested too deeply')
    this.#count()
    this.depth = depth
    this.#nameStarts[depth] = tag.nameStart - this.base
    this.#nameLengths[depth] = tag.nameEnd - tag.nameStart

    let ns = this.#defaults[depth - 1] as string
    if (tag.hasDeclarations) ns = this.#declare(ns)
    this.#defaults[depth] = ns
    if (tag.colon !== -1) ns = this.resolve(tag.nameStart, tag.colon)
    if (tag.hasPrefixes) this.#checkPrefixes()

    if (depth === 1 && this.#bindings.length > 0) this.declared = this.#bindings.slice()
    if (this.#sink !== undefined) this.#sink.open(ns, this)
    else if (depth === 1) this.#first(ns, after)
    else if (depth === 2 && this.clientName !== '') this.#child(ns, start, after)
    if (tag.isEmpty) this.#close(after, after)
    return after
  }

  #count(): void {
    if (++this.#elements > this.limits.maxElements) throw new XmlError('policy-violation', 'there are too many elements')
  }

  /** Notes what a first-level element says about itself. */
  #first(ns: string, after: number): void {
    this.innerStart = after - this.base
    if (ns !== NS_CLIENT || tag.colon !== -1) return
    this.clientName = interned(this.bytes, tag.nameStart, tag.nameEnd)
    this.children = []
    const numbers = tag.count * ATTRIBUTE_SIZE
    if (numbers > this.attributes.length) this.attributes = new Int32Array(2 * numbers)
    this.attributesLength = numbers
    for (let at = 0; at < numbers; at++) this.attributes[at] = (tag.attributes[at] as number) - this.base
  }

  /** Lists a child of a stanza. */
  #child(ns: string, start: number, after: number): void {
    this.#checkPayloads()
    const content = this.base + this.innerStart
    const name = interned(this.bytes, tag.colon === -1 ? tag.nameStart : tag.colon + 1, tag.nameEnd)
    this.children.push(new Child(ns, name, start - content, after - content))
    if (tag.colon !== -1 || tag.count > 1 || (tag.count === 1 && !declaresDefault())) return
    keepTag(this.bytes, start, after, tag.nameEnd - tag.nameStart, name, tag.count === 1 ? ns : undefined, tag.isEmpty)
  }

  #checkPayloads(): void {
    if (this.children.length >= this.limits.maxPayloads)
      throw new XmlError('policy-violation', 'the stanza has too many payloads')
  }

  /** Opens a child of a stanza by a tag that was read before. */
  #knownTag(start: number, slot: number): number {
    if (this.limits.maxDepth < 2) throw new XmlError('policy-violation', 'elements are nested too deeply')
    this.#count()
    this.#checkPayloads()
    const content = this.base + this.innerStart
    const after = start + knownLength(slot)
    const ns = knownNs(slot) ?? (this.#defaults[1] as string)
    this.depth = 2
    this.#nameStarts[2] = start + 1 - this.base
    this.#nameLengths[2] = knownNameLength(slot)
    this.#defaults[2] = ns
    this.children.push(new Child(ns, knownName(slot), start - content, after - content))
    if (knownIsEmpty(slot)) this.#close(after, after)
    return after
  }

  #endTag(start: number): number {
    const bytes = this.bytes
    const end = this.end
    const opened = this.base + (this.#nameStarts[this.depth] as number)
    const nameEnd = start + 2 + (this.#nameLengths[this.depth] as number)
    // What is here is compared at once, so that a wrong end tag is refused wherever it is cut.
    const known = Math.min(nameEnd, end)
    if (!sameBytes(bytes, opened, start + 2, known - start - 2)) malformed('the end tag does not match')
    let p = nameEnd
    while (p < end && ((CLASS[bytes[p] as number] as number) & SPACE) !== 0) p++
    if (p >= end) return -1
    if (bytes[p] !== GREATER_THAN) malformed('the end tag does not match')
    this.#close(start, p + 1)
    return p + 1
  }

  #close(innerEnd: number, end: number): void {
    const depth = this.depth
    if (this.#bindings.length > 0) this.#leave(depth)
    if (this.#sink !== undefined) this.#sink.close()
    else if (depth === 1) this.innerEnd = innerEnd - this.base
    else if (depth === 2 && this.clientName !== '') {
      const child = this.children[this.children.length - 1] as Child
      child.innerEnd = innerEnd - this.base - this.innerStart
      child.end = end - this.base - this.innerStart
    }
    this.depth = depth - 1
  }

  /** Takes back the bindings of an element that ends. */
  #leave(depth: number): void {
    while (this.#bindingDepths[this.#bindingDepths.length - 1] === depth) {
      this.#bindingDepths.pop()
      this.#bindings.pop()
    }
  }

  #forget(): void {
    this.#bindingDepths.length = 0
    this.#bindings.length = 0
  }

  #startCdata(start: number): number {
    const length = Math.min(this.end - start, CDATA_START.length)
    if (!sameBytesAs(this.bytes, start, CDATA_START, length)) restricted('comments and document types are not allowed')
    if (length < CDATA_START.length) return -1
    this.#inCdata = true
    return this.#cdata(start + length)
  }

  #cdata(from: number): number {
    const after = readCdata(this.bytes, from, this.end)
    if (after === -1) {
      this.pos = stoppedAt
      return -1
    }
    this.#inCdata = false
    this.#sink?.cdata(from, after - 3)
    return after
  }

  /** Takes the tag's namespace declarations in; returns the default namespace that results. */
  #declare(outer: string): string {
    let ns = outer
    const numbers = tag.attributes
    for (let at = 0; at < tag.count * ATTRIBUTE_SIZE; at += ATTRIBUTE_SIZE) {
      if (numbers[at + DECLARES] === 0) continue
      const uri = interned(this.bytes, numbers[at + VALUE_START] as number, numbers[at + VALUE_END] as number)
      const colon = numbers[at + COLON_AT] as number
      // Namespaces in XML §3: nobody may bind these two, and only `xml` may name the first.
      if (uri === NS_XMLNS) malformed('this namespace may not be declared')
      if (colon === -1) {
        if (uri === NS_XML) malformed('this namespace may not be the default')
        ns = uri
        continue
      }
      const prefix = interned(this.bytes, colon + 1, numbers[at + END] as number)
      if (uri === '' || prefix === 'xmlns' || (prefix === 'xml') !== (uri === NS_XML))
        malformed('this prefix may not be declared so')
      if (this.#bindings.length >= this.limits.maxAttributes)
        throw new XmlError('policy-violation', 'too many prefixes are declared')
      this.#bindings.push({ prefix, uri })
      this.#bindingDepths.push(this.depth)
    }
    return ns
  }

  /** The namespace of the prefix that stands there. */
  resolve(start: number, colon: number): string {
    const prefix = interned(this.bytes, start, colon)
    if (prefix === 'xml') return NS_XML
    for (let k = this.#bindings.length - 1; k >= 0; k--) {
      const binding = this.#bindings[k] as Binding
      if (binding.prefix === prefix) return binding.uri
    }
    for (const binding of this.scope.bindings) {
      if (binding.prefix !== prefix) continue
      if (!this.inherited.includes(binding)) this.inherited.push(binding)
      return binding.uri
    }
    // RFC 6120 §4.9.3.13: what breaks the rules of Namespaces in XML is not well-formed.
    return malformed('the prefix is not declared')
  }

  /** Namespaces in XML §6.3: no two attributes of a tag have the same expanded name. */
  #checkPrefixes(): void {
    const bytes = this.bytes
    let seen: string[] | undefined
    const numbers = tag.attributes
    for (let at = 0; at < tag.count * ATTRIBUTE_SIZE; at += ATTRIBUTE_SIZE) {
      const colon = numbers[at + COLON_AT] as number
      if (colon === -1 || numbers[at + DECLARES] === 1) continue
      const ns = this.resolve(numbers[at] as number, colon)
      if (ns === NS_XML) continue
      const name = `{${ns}}${bytes.toString('latin1', colon + 1, numbers[at + END])}`
      if (seen?.includes(name) === true) malformed('an attribute appears twice')
      if (seen === undefined) seen = [name]
      else seen.push(name)
    }
  }
}

/** Whether the tag's first attribute is `xmlns`. */
const declaresDefault = (): boolean => tag.attributes[DECLARES] === 1 && tag.attributes[COLON_AT] === -1

const sameBytesAs = (bytes: Buffer, start: number, expected: Buffer, length: number): boolean => {
  for (let k = 0; k < length; k++) if (bytes[start + k] !== expected[k]) return false
  return true
}

const idle: Tokenizer[] = []
/** Readers nest (a handler reads a payload while its stream is being read), but never deeply. */
const MAX_IDLE = 8

/** Lends a tokenizer; a new one when all are busy. */
export const borrowTokenizer = (): Tokenizer => idle.pop() ?? new Tokenizer()

/** Takes a tokenizer back, which then holds nothing of what it read. */
export const returnTokenizer = (tokenizer: Tokenizer): void => {
  tokenizer.release()
  if (idle.length < MAX_IDLE) idle.push(tokenizer)
}
