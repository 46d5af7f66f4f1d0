/** The stream error conditions that reading XML can end a stream with (RFC 6120 §4.9.3). */
export type XmlErrorCondition =
  | 'bad-format'
  | 'invalid-namespace'
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

/** Refuses bytes that break the rules of XML 1.0 or Namespaces in XML (RFC 6120 §4.9.3.13). */
export const malformed = (message: string): never => {
  throw new XmlError('not-well-formed', message)
}

/** Refuses XML that XMPP leaves out: comments, processing instructions, DTDs, other entities (RFC 6120 §11.1). */
export const restricted = (message: string): never => {
  throw new XmlError('restricted-xml', message)
}
