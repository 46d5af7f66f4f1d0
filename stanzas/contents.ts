import type { Element } from './element.ts'
import { bytesOf, clientScope, plainText, readWireElement } from './element-reader.ts'
import { NS_CLIENT } from './namespaces.ts'
import { Child, type Payload } from './payload.ts'
import { serialize } from './serialize.ts'
import { type Binding, borrowTokenizer, returnTokenizer, TRUSTED } from './tokenizer.ts'
import { type Wire, wire } from './wire.ts'
import { malformed } from './xml-error.ts'

const NO_BINDINGS: readonly Binding[] = []

/**
 * What stands inside a stanza: a span of some text, led by the `>` of the start tag, and where its first-level children are in it.
 * Copies of a stanza share it. What was appended as wire text is only looked into when somebody asks.
 */
export class Contents {
  readonly #source: Wire
  readonly #start: number
  readonly #end: number
  /** Prefixes that payloads use without declaring them; the stanza's start tag does. */
  readonly #bindings: readonly Binding[]
  #children: readonly Child[]
  /** How much of the content `#children` covers. */
  #known: number

  constructor(
    source: Wire,
    start: number,
    end: number,
    children: readonly Child[],
    bindings: readonly Binding[] = NO_BINDINGS,
    known: number = end - start,
  ) {
    this.#source = source
    this.#start = start
    this.#end = end
    this.#children = children
    this.#bindings = bindings
    this.#known = known
  }

  /** The contents that these elements make. */
  static of(elements: readonly (Element | undefined)[]): Contents {
    let text = '>'
    const children: Child[] = []
    for (const element of elements) {
      if (element === undefined) continue
      const child = new Child(element.ns, element.name, text.length - 1, text.length - 1)
      child.element = element
      text += serialize(element, NS_CLIENT)
      child.innerEnd = text.length - 1
      child.end = text.length - 1
      children.push(child)
    }
    return new Contents(wire(text), 1, text.length, children)
  }

  get length(): number {
    return this.#end - this.#start
  }

  /** The content behind the `>` that it follows. */
  get wire(): Wire {
    return this.#slice(-1, this.length)
  }

  get payloads(): readonly Payload[] {
    return this.#read()
  }

  /** The first child with that name and namespace. */
  find(ns: string, name: string): Child | undefined {
    for (const child of this.#read()) if (child.name === name && child.ns === ns) return child
    return undefined
  }

  /** The child as a tree. */
  element(child: Child): Element {
    child.element ??= readWireElement(this.#slice(child.start, child.end), clientScope(this.#bindings))
    return child.element
  }

  elements(): readonly Element[] {
    return this.#read().map((child) => this.element(child))
  }

  /** The child's own character data, decoded. */
  text(child: Child): string {
    if (child.element !== undefined) return child.element.text()
    return plainText(this.#slice(child.innerStart, child.innerEnd)) ?? this.element(child).text()
  }

  /** The contents without the children that are to be dropped. */
  without<S>(drop: (payload: Payload, stanza: S) => boolean, stanza: S): Contents {
    const children = this.#read()
    let kept: Child[] | undefined
    let text = '>'
    let copied = 0
    let dropped = 0
    for (let k = 0; k < children.length; k++) {
      const child = children[k] as Child
      if (drop(child, stanza)) {
        kept ??= children.slice(0, k)
        text += this.#slice(copied, child.start)
        copied = child.end
        dropped += child.end - child.start
      } else kept?.push(dropped === 0 ? child : child.movedBy(-dropped))
    }
    if (kept === undefined) return this
    text += this.#slice(copied, this.length)
    return new Contents(wire(text), 1, text.length, kept, this.#bindings)
  }

  /** The contents with more at their end. */
  with(more: Wire | Element | readonly Element[]): Contents {
    const text =
      typeof more === 'string' ? more : Array.isArray(more) ? serializeAll(more) : serialize(more as Element, NS_CLIENT)
    if (text === '') return this
    return new Contents(wire(this.wire + text), 1, 1 + this.length + text.length, this.#children, this.#bindings, this.#known)
  }

  /** The same contents in another text that holds them at `start`. */
  in(source: Wire, start: number): Contents {
    return new Contents(source, start, start + this.length, this.#children, this.#bindings, this.#known)
  }

  #slice(start: number, end: number): Wire {
    return wire(this.#source.slice(this.#start + start, this.#start + end))
  }

  #read(): readonly Child[] {
    if (this.#known === this.length) return this.#children
    const appended = readChildren(this.#slice(this.#known, this.length), this.#bindings)
    const known = this.#known
    this.#children = [...this.#children, ...appended.map((child) => child.movedBy(known))]
    this.#known = this.length
    return this.#children
  }
}

const serializeAll = (elements: readonly Element[]): Wire =>
  wire(elements.map((element) => serialize(element, NS_CLIENT)).join(''))

/** Reads where the elements of appended text stand. */
const readChildren = (text: Wire, bindings: readonly Binding[]): readonly Child[] => {
  const whole = wire(`<message>${text}</message>`)
  const tokenizer = borrowTokenizer()
  tokenizer.begin(bytesOf(whole), 0, whole.length, clientScope(bindings), TRUSTED)
  if (!tokenizer.run()) malformed('what was appended is not whole')
  const { children } = tokenizer
  returnTokenizer(tokenizer)
  return children
}
