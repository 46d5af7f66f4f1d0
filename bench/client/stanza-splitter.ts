/**
 * Cuts the text of a stream into its stanzas. It trusts the server to send well-formed XML without comments or CDATA,
 * and only counts tags: the load clients must cost little beside the server they measure.
 */
export class StanzaSplitter {
  #text = ''
  #scanned = 0
  #start = -1
  #depth = 0
  readonly #onStanza: (xml: string) => void

  constructor(onStanza: (xml: string) => void) {
    this.#onStanza = onStanza
  }

  /** Begins a new stream, as after STARTTLS or SASL (RFC 6120 §4.3.3). */
  reset(): void {
    this.#text = ''
    this.#scanned = 0
    this.#start = -1
    this.#depth = 0
  }

  push(chunk: string): void {
    this.#text += chunk
    for (;;) {
      const open = this.#text.indexOf('<', this.#scanned)
      if (open < 0) break
      const close = this.#endOfTag(open)
      if (close < 0) break
      this.#scanned = close + 1
      this.#count(open, close)
    }
    if (this.#start < 0) {
      this.#text = this.#text.slice(this.#scanned)
      this.#scanned = 0
    } else if (this.#start > 0) {
      this.#text = this.#text.slice(this.#start)
      this.#scanned -= this.#start
      this.#start = 0
    }
  }

  #count(open: number, close: number): void {
    const text = this.#text
    const mark = text.charCodeAt(open + 1)
    if (mark === 63) return // <?xml …?>
    if (mark === 47) {
      this.#depth--
      if (this.#depth === 1) this.#emit(close)
      return
    }
    const isEmpty = text.charCodeAt(close - 1) === 47
    if (this.#depth === 0 && !isEmpty) {
      this.#depth = 1 // <stream:stream>
      return
    }
    if (this.#depth === 1) this.#start = open
    if (!isEmpty) this.#depth++
    else if (this.#depth === 1) this.#emit(close)
  }

  #emit(close: number): void {
    const xml = this.#text.slice(this.#start, close + 1)
    this.#start = -1
    this.#onStanza(xml)
  }

  // A ">" inside an attribute's value is legal XML and ends nothing.
  #endOfTag(open: number): number {
    const text = this.#text
    let at = open + 1
    for (;;) {
      const close = text.indexOf('>', at)
      if (close < 0) return -1
      const quote = firstQuote(text, at, close)
      if (quote < 0) return close
      const end = text.indexOf(text[quote] ?? '"', quote + 1)
      if (end < 0) return -1
      at = end + 1
    }
  }
}

function firstQuote(text: string, from: number, to: number): number {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    if (code === 34 || code === 39) return at
  }
  return -1
}
