import type { Element } from './element.ts'
import type { Stanza } from './stanza.ts'
import type { Wire } from './wire.ts'

/** The stream error conditions that reading XML can end a stream with (RFC 6120 §4.9.3). */
export type XmlErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'invalid-namespace'
  | 'invalid-xml'
  | 'not-well-formed'
  | 'policy-violation'
  | 'restricted-xml'
  | 'unsupported-encoding'

/** What the peer sent is not XML that XMPP allows; the condition is the stream error it gets. */
export class XmlError extends Error {
  override readonly name = 'XmlError'
  readonly condition: XmlErrorCondition

  constructor(condition: XmlErrorCondition, message: string) {
    super(message)
    this.condition = condition
  }
}

/** How much one peer may ask for; checked before memory is spent. */
export interface XmlLimits {
  readonly maxStanzaBytes: number
  readonly maxDepth: number
  readonly maxAttributes: number
}

/** Whoever reads a stream; called in document order from within `write`. */
export interface XmlStreamHandler {
  /** The stream header; `contentNs` is the default namespace it declares, '' when none. */
  onOpen(header: Element, contentNs: string): void
  /** A first-level message, presence or iq in jabber:client. */
  onStanza(stanza: Stanza): void
  /** Any other first-level element. */
  onElement(element: Element): void
  /** The stream's end tag. */
  onClose(): void
}

/** Reads one peer's bytes, strictly and wherever they are cut. */
export class XmlStream {
  limits: XmlLimits
  readonly #handler: XmlStreamHandler
  readonly #framing: 'stream' | 'frames'

  constructor(handler: XmlStreamHandler, limits: XmlLimits, framing: 'stream' | 'frames') {
    this.#handler = handler
    this.limits = limits
    this.#framing = framing
  }

  /** Reads the next bytes; throws an XmlError when they may not stand there. */
  write(_chunk: Buffer): void {
    throw new Error(`${this.#framing} ${this.#handler}`)
  }

  /** What follows is a new stream header, even in the same chunk (RFC 6120 §4.3.3). */
  restart(): void {}

  /** Ends reading: no callback comes after this call. */
  stop(): void {}
}

/** Reads one whole element. */
export const parseElement = (_wire: Wire): Element => {
  throw new Error('not yet')
}
