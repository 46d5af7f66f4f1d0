import { newId } from '#server/base/random.ts'
import { type IqRegistration, onSet } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { el } from '#stanzas/element.ts'
import { type Address, parseJid, withResource } from '#stanzas/jid.ts'
import { NS_BIND, NS_SESSION } from '#stanzas/namespaces.ts'
import { iq, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { C2sStream } from '../c2s.ts'
import type { StreamFeature } from '../feature.ts'

const BIND = el(NS_BIND, 'bind')
const SESSION = el(NS_SESSION, 'session', {}, el(NS_SESSION, 'optional'))

/** Binding a resource (RFC 6120 §7). */
export const bind: StreamFeature = {
  name: 'bind',
  elements: [],
  offer: (stream) => (stream.phase === 'after-login' ? BIND : undefined),
  handle() {},
}

/** The session request of RFC 3921, which older clients wait for; it does nothing. */
export const legacySession: StreamFeature = {
  name: 'session',
  elements: [],
  offer: (stream) => (stream.phase === 'after-login' ? SESSION : undefined),
  handle() {},
}

/** What a client that is bound may still ask: another resource, which it is refused (RFC 6120 §7.6.2.2), and the session of RFC 3921. */
export const bindRequests: readonly IqRegistration[] = [
  onSet(NS_BIND, 'bind', 'account', () => {
    throw new StanzaError('not-allowed')
  }),
  onSet(NS_SESSION, 'session', 'account', () => undefined),
  onSet(NS_SESSION, 'session', 'server', () => undefined),
]

/**
 * Makes the session of an address on a stream, and says so by `answer` before anything that the session causes;
 * throws a `StanzaError` when the account may not have one more. Further input waits for a promise.
 */
export type OpenSession = (
  stream: C2sStream,
  address: Address,
  answer: (session: Session) => void | Promise<void>,
) => void | Promise<void>

/** Answers a binding request; `false` when the stanza is none. */
export const answerBind = (stream: C2sStream, stanza: Stanza, open: OpenSession): boolean | Promise<boolean> => {
  const request = stanza.kind === 'iq' && stanza.type === 'set' ? stanza.get(NS_BIND, 'bind') : undefined
  const account = stream.account
  if (request === undefined || account === undefined) return false
  const bare = parseJid(account)
  const answer = { id: stanza.id }
  try {
    const wanted = request.getChildText('resource') ?? ''
    // RFC 6120 §7.6: the server's choice; §7.7.2.1: a resource that is none.
    const address = bare === undefined ? undefined : withResource(bare, wanted === '' ? newId() : wanted)
    if (address === undefined) throw new StanzaError('bad-request')
    const jid = el(NS_BIND, 'jid', {}, address.jid)
    const ready = open(stream, address, () =>
      stream.writeStanza(iq({ ...answer, type: 'result' }, el(NS_BIND, 'bind', {}, jid)).wire),
    )
    return ready?.then(() => true) ?? true
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error
    stream.writeStanza(iq({ ...answer, type: 'error' }, error.toElement()).wire)
    return true
  }
}
