import { defineModule } from '#server/core/module.ts'
import type { StreamLimits } from '#server/core/stream-limits.ts'
import { type Element, el } from '#stanzas/element.ts'

const NS_LIMITS = 'urn:xmpp:stream-limits:0'

/** Tells clients the limits of their stream before they run into them. */
export const streamLimits = defineModule({
  name: 'stream-limits',
  summary: 'Tells clients how large a stanza and how long a silence may be.',
  xeps: { 'XEP-0478': '0.2.0' },

  start({ host }) {
    const beforeLogin = limitsElement(host.limits.beforeLogin)
    // XEP-0478 §4: the limits are others once the client has logged in.
    const afterLogin = limitsElement(host.limits.afterLogin)
    return {
      streamFeatures: [
        { when: 'before-login', offer: () => beforeLogin },
        { when: 'after-login', offer: () => afterLogin },
      ],
    }
  },
})

const limitsElement = ({ maxBytes, maxIdleMs }: StreamLimits): Element =>
  el(
    NS_LIMITS,
    'limits',
    {},
    el(NS_LIMITS, 'max-bytes', {}, String(maxBytes)),
    maxIdleMs === undefined ? undefined : el(NS_LIMITS, 'idle-seconds', {}, String(Math.floor(maxIdleMs / 1000))),
  )
