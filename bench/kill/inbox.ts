import { attributeOf } from '../client/login.ts'

/** What one receiver got from its sender, told apart by stanza ids (XEP-0359) as a careful client does. */
export class Inbox {
  doubled = 0
  repeated = 0
  reordered = 0
  readonly #bareJid: string
  readonly #idsOf = new Map<number, Set<string>>()
  #last = -1

  constructor(bareJid: string) {
    this.#bareJid = bareJid
  }

  has(sequence: number): boolean {
    return this.#idsOf.has(sequence)
  }

  take(sequence: number, xml: string): void {
    const id = this.#stanzaIdIn(xml)
    const known = this.#idsOf.get(sequence)
    if (known === undefined) {
      this.#idsOf.set(sequence, new Set(id === undefined ? [] : [id]))
      if (sequence < this.#last) this.reordered++
      else this.#last = sequence
    } else if (id !== undefined && known.has(id)) {
      this.repeated++
    } else {
      this.doubled++
      if (id !== undefined) known.add(id)
    }
  }

  // Only an id given by the receiver's own account counts (XEP-0359 §5).
  #stanzaIdIn(xml: string): string | undefined {
    for (const [tag] of xml.matchAll(/<stanza-id\b[^>]*>/g)) {
      if (attributeOf(tag, 'by') === this.#bareJid) return attributeOf(tag, 'id')
    }
    return undefined
  }
}
