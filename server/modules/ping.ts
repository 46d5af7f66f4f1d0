import { defineModule, onGet } from '#server/core/module.ts'
import { NS_PING } from '#stanzas/namespaces.ts'

/** Answers pings to the server and to accounts. */
export const ping = defineModule({
  name: 'ping',
  summary: 'Tells clients that their stream is alive.',
  xeps: { 'XEP-0199': '2.0.1' },
  features: { server: [NS_PING], account: [NS_PING] },

  start: () => ({
    iq: [onGet(NS_PING, 'ping', 'server', () => undefined), onGet(NS_PING, 'ping', 'account', () => undefined)],
  }),
})
