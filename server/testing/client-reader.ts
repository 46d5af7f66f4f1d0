import { SaxesParser } from 'saxes'
import { Element, type Node } from '#stanzas/element.ts'

interface Open {
  readonly ns: string
  readonly name: string
  readonly attrs: Record<string, string>
  readonly children: Node[]
}

/** A client's reader of the server's stream, made of a stranger's XML parser: a header, elements, an end. */
export class ClientReader {
  readonly #parser = new SaxesParser({ xmlns: true })
  readonly #open: Open[] = []

  constructor(on: { header(header: Element): void; element(element: Element): void; end(): void }) {
    this.#parser.on('error', (error) => {
      throw error
    })
    this.#parser.on('opentag', (tag) => {
      const attrs: Record<string, string> = {}
      for (const attribute of Object.values(tag.attributes)) {
        if (attribute.name === 'xmlns' || attribute.prefix === 'xmlns') continue
        const key =
          attribute.prefix === ''
            ? attribute.local
            : attribute.prefix === 'xml'
              ? attribute.name
              : `{${attribute.uri}}${attribute.local}`
        attrs[key] = attribute.value
      }
      this.#open.push({ ns: tag.uri, name: tag.local, attrs, children: [] })
      if (this.#open.length === 1) on.header(new Element(tag.uri, tag.local, attrs, []))
    })
    const text = (data: string): void => {
      if (this.#open.length > 1) this.#open.at(-1)?.children.push(data)
    }
    this.#parser.on('text', text)
    this.#parser.on('cdata', text)
    this.#parser.on('closetag', () => {
      const top = this.#open.pop()
      if (top === undefined) return
      if (this.#open.length === 0) return on.end()
      const element = new Element(top.ns, top.name, top.attrs, top.children)
      if (this.#open.length === 1) on.element(element)
      else this.#open.at(-1)?.children.push(element)
    })
  }

  write(text: string): void {
    this.#parser.write(text)
  }
}
