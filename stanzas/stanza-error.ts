import { type Element, el } from './element.ts'
import { NS_CLIENT, NS_STANZA_ERRORS } from './namespaces.ts'

/** RFC 6120 §8.3.2: what the sender may do about it. */
export type StanzaErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait'

/** RFC 6120 §8.3.3: each defined condition with the type it comes with, and the code XEP-0086 gave it (Profanity still asks for 404). */
const CONDITIONS = {
  'bad-request': ['modify', 400],
  conflict: ['cancel', 409],
  'feature-not-implemented': ['cancel', 501],
  forbidden: ['auth', 403],
  gone: ['cancel', 302],
  'internal-server-error': ['cancel', 500],
  'item-not-found': ['cancel', 404],
  'jid-malformed': ['modify', 400],
  'not-acceptable': ['modify', 406],
  'not-allowed': ['cancel', 405],
  'not-authorized': ['auth', 401],
  'policy-violation': ['modify', 400],
  'recipient-unavailable': ['wait', 404],
  redirect: ['modify', 302],
  'registration-required': ['auth', 407],
  'remote-server-not-found': ['cancel', 404],
  'remote-server-timeout': ['wait', 504],
  'resource-constraint': ['wait', 500],
  'service-unavailable': ['cancel', 503],
  'subscription-required': ['auth', 407],
  'undefined-condition': ['cancel', 500],
  'unexpected-request': ['wait', 400],
} as const satisfies Record<string, readonly [StanzaErrorType, number]>

export type StanzaErrorCondition = keyof typeof CONDITIONS

/** A refusal of one stanza (RFC 6120 §8.3). Thrown by whoever refuses; `core` turns it into bytes. */
export class StanzaError extends Error {
  override readonly name = 'StanzaError'
  readonly condition: StanzaErrorCondition
  readonly type: StanzaErrorType
  readonly text: string | undefined
  /** An application-specific condition (RFC 6120 §8.3.4). */
  readonly extra: Element | undefined
  /** What is returned with the error and is not part of it; of an iq only (XEP-0060 §8.8.2.4). */
  readonly beside: Element | undefined

  constructor(
    condition: StanzaErrorCondition,
    options: {
      readonly type?: StanzaErrorType
      readonly text?: string
      readonly extra?: Element
      readonly beside?: Element
    } = {},
  ) {
    super(condition)
    this.condition = condition
    this.type = options.type ?? CONDITIONS[condition][0]
    this.text = options.text
    this.extra = options.extra
    this.beside = options.beside
  }

  /** The `<error/>` child, in the stanza's namespace. */
  toElement(): Element {
    return el(
      NS_CLIENT,
      'error',
      { type: this.type, code: String(CONDITIONS[this.condition][1]) },
      el(NS_STANZA_ERRORS, this.condition),
      this.text === undefined ? undefined : el(NS_STANZA_ERRORS, 'text', {}, this.text),
      this.extra,
    )
  }
}

/** Reads an `<error/>` child back; `undefined` when it names no condition of RFC 6120. */
export const readStanzaError = (element: Element): StanzaError | undefined => {
  const condition = element.getChildren().find(({ ns, name }) => ns === NS_STANZA_ERRORS && name !== 'text')?.name
  if (condition === undefined || !isStanzaErrorCondition(condition)) return undefined
  const text = element.getChildText('text', NS_STANZA_ERRORS)
  const extra = element.getChildren().find(({ ns }) => ns !== NS_STANZA_ERRORS)
  return new StanzaError(condition, {
    type: element.attrs.type as StanzaErrorType,
    ...(text === undefined ? {} : { text }),
    ...(extra === undefined ? {} : { extra }),
  })
}

/** Whether the name is one of RFC 6120's defined conditions. */
export const isStanzaErrorCondition = (name: string): name is StanzaErrorCondition => Object.hasOwn(CONDITIONS, name)
