/** What an element may contain: elements and text, in document order. */
export type Node = Element | string

/**
 * A readonly XML element, shaped like ltx's but with its namespace resolved.
 * `attrs` holds decoded values; `xml:lang` keeps that name, other prefixed attributes are `{namespace}name`; namespace declarations are not attributes.
 */
export class Element {
  readonly ns: string
  readonly name: string
  readonly attrs: Readonly<Record<string, string>>
  readonly children: readonly Node[]

  constructor(ns: string, name: string, attrs: Readonly<Record<string, string>>, children: readonly Node[]) {
    this.ns = ns
    this.name = name
    this.attrs = attrs
    this.children = children
  }

  /** The first child element with this name, in this namespace or, when none is given, in the element's own. */
  getChild(name: string, ns: string = this.ns): Element | undefined {
    for (const node of this.children) if (typeof node !== 'string' && node.name === name && node.ns === ns) return node
    return undefined
  }

  /** All child elements, optionally only those with this name and namespace. */
  getChildren(name?: string, ns: string = this.ns): readonly Element[] {
    const found: Element[] = []
    for (const node of this.children)
      if (typeof node !== 'string' && (name === undefined || (node.name === name && node.ns === ns))) found.push(node)
    return found
  }

  /** The text of that child; `undefined` when there is no such child. */
  getChildText(name: string, ns: string = this.ns): string | undefined {
    return this.getChild(name, ns)?.text()
  }

  /** The element's own character data, without that of its children. */
  text(): string {
    let text = ''
    for (const node of this.children) if (typeof node === 'string') text += node
    return text
  }
}

/** Builds an element; attributes that are `undefined` are left out. */
export const el = (
  ns: string,
  name: string,
  attrs: Readonly<Record<string, string | undefined>> = {},
  ...children: readonly (Node | undefined)[]
): Element => {
  const present: Record<string, string> = {}
  for (const key in attrs) {
    const value = attrs[key]
    if (value !== undefined) present[key] = value
  }
  return new Element(
    ns,
    name,
    present,
    children.filter((node) => node !== undefined),
  )
}
