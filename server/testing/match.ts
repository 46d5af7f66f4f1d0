import { SaxesParser } from 'saxes'
import { Element, type Node } from '#stanzas/element.ts'
import { NS_CLIENT, NS_STREAMS } from '#stanzas/namespaces.ts'

/** Stands in a template for whatever may vary: an attribute's value, or an element's whole content. */
export const any = '∀'

/** XML as it is on the wire; values are put in as they are. */
export const xml = (strings: TemplateStringsArray, ...values: readonly unknown[]): string =>
  String.raw({ raw: strings }, ...values)

/** Reads XML by a reader that is not the server's own. What is given may begin anywhere in a stream, so the usual prefixes are declared. */
export const readElements = (text: string): readonly Element[] => {
  const stack: { ns: string; name: string; attrs: Record<string, string>; children: Node[] }[] = []
  const roots: Element[] = []
  const parser = new SaxesParser({ xmlns: true, fragment: true, additionalNamespaces: { stream: NS_STREAMS } })
  parser.on('error', (error) => {
    throw error
  })
  parser.on('opentag', (tag) => {
    const attrs: Record<string, string> = {}
    for (const attribute of Object.values(tag.attributes)) {
      if (attribute.name === 'xmlns' || attribute.prefix === 'xmlns') continue
      attrs[
        attribute.prefix === ''
          ? attribute.local
          : attribute.prefix === 'xml'
            ? attribute.name
            : `{${attribute.uri}}${attribute.local}`
      ] = attribute.value
    }
    stack.push({ ns: tag.uri === '' ? NS_CLIENT : tag.uri, name: tag.local, attrs, children: [] })
  })
  parser.on('text', (text) => stack.at(-1)?.children.push(text))
  parser.on('cdata', (text) => stack.at(-1)?.children.push(text))
  parser.on('closetag', () => {
    const top = stack.pop()
    if (top === undefined) return
    const element = new Element(top.ns, top.name, top.attrs, top.children)
    const parent = stack.at(-1)
    if (parent === undefined) roots.push(element)
    else parent.children.push(element)
  })
  parser.write(text).close()
  return roots
}

/** The texts of the elements that stand side by side in a text. */
export const splitElements = (text: string): readonly string[] => {
  const ends: number[] = []
  let depth = 0
  const parser = new SaxesParser({ fragment: true })
  parser.on('opentag', () => depth++)
  parser.on('closetag', () => {
    if (--depth === 0) ends.push(parser.position)
  })
  parser.write(text).close()
  return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end).trim())
}

const isBlank = (node: Node): boolean => typeof node === 'string' && node.trim() === ''

/** Children without the white space that only indents; adjacent text is one. */
const contentOf = (element: Element): readonly Node[] => {
  const merged: Node[] = []
  for (const node of element.children) {
    const last = merged.at(-1)
    if (typeof node === 'string' && typeof last === 'string') merged[merged.length - 1] = last + node
    else merged.push(node)
  }
  return merged.some((node) => typeof node !== 'string') ? merged.filter((node) => !isBlank(node)) : merged
}

/** Whether the element is the expected one: names, namespaces, all attributes and all content in order. */
export const matches = (actual: Element, expected: Element): boolean => {
  if (actual.ns !== expected.ns || actual.name !== expected.name) return false
  const keys = Object.keys(expected.attrs)
  if (Object.keys(actual.attrs).length !== keys.length) return false
  for (const key of keys) {
    const value = actual.attrs[key]
    if (value === undefined || (expected.attrs[key] !== any && expected.attrs[key] !== value)) return false
  }
  const wanted = contentOf(expected)
  if (wanted.length === 1 && wanted[0] === any) return true
  const found = contentOf(actual)
  return (
    found.length === wanted.length &&
    found.every((node, i) => {
      const want = wanted[i]
      if (want === undefined || typeof node === 'string' || typeof want === 'string') return node === want
      return matches(node, want)
    })
  )
}

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/'/g, '&apos;')

/** An element as people read it, for the message of a failed test. */
export const show = (element: Element, indent = '', parentNs = ''): string => {
  const attrs = Object.entries(element.attrs)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ` ${key}='${escaped(value)}'`)
    .join('')
  const ns = element.ns === parentNs ? '' : ` xmlns='${element.ns}'`
  const content = contentOf(element)
  if (content.length === 0) return `${indent}<${element.name}${ns}${attrs}/>`
  if (content.every((node) => typeof node === 'string'))
    return `${indent}<${element.name}${ns}${attrs}>${escaped(content.join(''))}</${element.name}>`
  const inner = content.map((node) =>
    typeof node === 'string' ? `${indent}  ${escaped(node)}` : show(node, `${indent}  `, element.ns),
  )
  return [`${indent}<${element.name}${ns}${attrs}>`, ...inner, `${indent}</${element.name}>`].join('\n')
}
