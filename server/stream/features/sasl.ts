import { el } from '#stanzas/element.ts'
import { NS_SASL } from '#stanzas/namespaces.ts'
import type { StreamFeature } from '../feature.ts'
import { StreamError } from '../stream-error.ts'
import { type Logins, onceFor, type SaslProfile } from './login.ts'

const NS_CHANNEL_BINDING = 'urn:xmpp:sasl-cb:0'

const profile: SaslProfile = {
  challenge: (stream, data) => stream.send(el(NS_SASL, 'challenge', {}, data?.toString('base64'))),
  failure(stream, condition, text) {
    const says = text === undefined ? undefined : el(NS_SASL, 'text', { 'xml:lang': 'en' }, text)
    stream.send(el(NS_SASL, 'failure', {}, el(NS_SASL, condition), says))
  },
  success(stream, { account, data }) {
    stream.send(el(NS_SASL, 'success', {}, data?.toString('base64')))
    stream.authenticated(account)
  },
}

const mechanismsElement = onceFor(({ names }) =>
  names.length === 0 ? undefined : el(NS_SASL, 'mechanisms', {}, ...names.map((name) => el(NS_SASL, 'mechanism', {}, name))),
)

const bindingsElement = onceFor(({ bindings }) => {
  const types = bindings.map((type) => el(NS_CHANNEL_BINDING, 'channel-binding', { type }))
  return types.length === 0 ? undefined : el(NS_CHANNEL_BINDING, 'sasl-channel-binding', {}, ...types)
})

/** Authentication by SASL (RFC 6120 §6). */
export const sasl = (logins: Logins): StreamFeature => ({
  name: 'sasl',
  elements: [
    [NS_SASL, 'auth'],
    [NS_SASL, 'response'],
    [NS_SASL, 'abort'],
  ],
  offer: (stream) => (stream.phase === 'before-login' ? mechanismsElement(logins.offerOn(stream)) : undefined),
  handle(stream, element) {
    if (stream.phase !== 'before-login') throw new StreamError('unsupported-stanza-type')
    if (element.name === 'response') return logins.respond(stream, profile, element.text())
    if (element.name === 'abort') return logins.abort(stream, profile)
    const initial = element.text()
    return logins.begin(stream, profile, {
      mechanism: element.attrs.mechanism ?? '',
      initial: initial === '' ? undefined : initial,
      retell: (first) => el(NS_SASL, 'auth', { mechanism: element.attrs.mechanism }, first),
    })
  },
})

/** XEP-0440: the channel-binding types a client may use, where a mechanism uses any. */
export const channelBindings = (logins: Logins): StreamFeature => ({
  name: 'channel-bindings',
  elements: [],
  offer: (stream) => (stream.phase === 'before-login' ? bindingsElement(logins.offerOn(stream)) : undefined),
  handle() {},
})
