import { el } from '#stanzas/element.ts'
import { NS_TLS } from '#stanzas/namespaces.ts'
import type { StreamFeature } from '../feature.ts'
import { StreamError } from '../stream-error.ts'

/** STARTTLS (RFC 6120 §5); required, unless this server lets clients log in without TLS. */
export const startTls = (isRequired: boolean): StreamFeature => {
  const offer = el(NS_TLS, 'starttls', {}, isRequired ? el(NS_TLS, 'required') : undefined)
  return {
    name: 'starttls',
    elements: [[NS_TLS, 'starttls']],
    offer: (stream) => (stream.connection.canStartTls && stream.phase === 'before-login' ? offer : undefined),
    async handle(stream) {
      if (!stream.connection.canStartTls || stream.phase !== 'before-login') {
        // RFC 6120 §5.4.2.2: failure, then the stream ends.
        stream.send(el(NS_TLS, 'failure'))
        throw new StreamError('policy-violation')
      }
      stream.send(el(NS_TLS, 'proceed'))
      await stream.secure()
    },
  }
}
