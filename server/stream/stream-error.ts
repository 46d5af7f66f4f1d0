import { type Element, el } from '#stanzas/element.ts'
import { NS_STREAM_ERRORS } from '#stanzas/namespaces.ts'
import { XmlError } from '#stanzas/xml-stream.ts'

/** RFC 6120 §4.9.3. */
export type StreamErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'conflict'
  | 'connection-timeout'
  | 'host-gone'
  | 'host-unknown'
  | 'improper-addressing'
  | 'internal-server-error'
  | 'invalid-from'
  | 'invalid-namespace'
  | 'invalid-xml'
  | 'not-authorized'
  | 'not-well-formed'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'reset'
  | 'resource-constraint'
  | 'restricted-xml'
  | 'see-other-host'
  | 'system-shutdown'
  | 'undefined-condition'
  | 'unsupported-encoding'
  | 'unsupported-feature'
  | 'unsupported-stanza-type'
  | 'unsupported-version'

/** The stream is broken or abused, and closes (RFC 6120 §4.9). */
export class StreamError extends Error {
  override readonly name = 'StreamError'
  readonly condition: StreamErrorCondition
  readonly text: string | undefined
  readonly extra: Element | undefined

  constructor(condition: StreamErrorCondition, options: { readonly text?: string; readonly extra?: Element } = {}) {
    super(options.text ?? condition)
    this.condition = condition
    this.text = options.text
    this.extra = options.extra
  }

  /** The children of `<stream:error/>`. */
  children(): readonly Element[] {
    const children = [el(NS_STREAM_ERRORS, this.condition)]
    if (this.text !== undefined) children.push(el(NS_STREAM_ERRORS, 'text', { 'xml:lang': 'en' }, this.text))
    if (this.extra !== undefined) children.push(this.extra)
    return children
  }
}

/** What the client is told of whatever went wrong. */
export const asStreamError = (error: unknown): StreamError => {
  if (error instanceof StreamError) return error
  if (error instanceof XmlError) return new StreamError(error.condition, { text: error.message })
  return new StreamError('internal-server-error')
}
