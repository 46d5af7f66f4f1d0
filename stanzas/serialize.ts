import type { Element } from './element.ts'
import { NS_XML } from './namespaces.ts'
import { escapeAttribute, escapeText, toWire, type Wire, wire } from './wire.ts'

/** An attribute with a namespace is named `{namespace}name` in an Element; on the wire it needs a prefix. */
const qualified = (key: string, value: Wire, count: number): string => {
  const close = key.lastIndexOf('}')
  const ns = key.slice(1, close)
  const name = toWire(key.slice(close + 1))
  if (ns === NS_XML) return ` xml:${name}='${value}'`
  return ` xmlns:ns${count}='${escapeAttribute(ns)}' ns${count}:${name}='${value}'`
}

/** Writes an element as it stands inside a parent of the given default namespace. */
export const serialize = (element: Element, parentNs: string): Wire => {
  const name = toWire(element.name)
  let text = `<${name}`
  if (element.ns !== parentNs) text += ` xmlns='${escapeAttribute(element.ns)}'`
  let qualifiedCount = 0
  const { attrs } = element
  for (const key in attrs) {
    const value = escapeAttribute(attrs[key] ?? '')
    if (key.startsWith('{')) text += qualified(key, value, qualifiedCount++)
    else text += ` ${toWire(key)}='${value}'`
  }
  if (element.children.length === 0) return wire(`${text}/>`)
  text += '>'
  for (const node of element.children) text += typeof node === 'string' ? escapeText(node) : serialize(node, element.ns)
  return wire(`${text}</${name}>`)
}
