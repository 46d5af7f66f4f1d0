import { operatingSystem } from '#server/base/operating-system.ts'
import { boolean } from '#server/base/schema.ts'
import { defineModule, onGet } from '#server/core/module.ts'
import { el } from '#stanzas/element.ts'

const NS_VERSION = 'jabber:iq:version'

/** Tells which software the server is. */
export const version = defineModule({
  name: 'version',
  summary: 'Tells which software the server is, and in which version.',
  xeps: { 'XEP-0092': '1.1' },
  features: { server: [NS_VERSION] },
  config: {
    showOperatingSystem: boolean({
      default: false,
      doc: 'Whether everyone may see the name and release of the operating system.',
    }),
  },

  start: ({ config, host }) => ({
    iq: [
      onGet(NS_VERSION, 'query', 'server', () =>
        el(
          NS_VERSION,
          'query',
          {},
          el(NS_VERSION, 'name', {}, 'Waxwing'),
          el(NS_VERSION, 'version', {}, host.version),
          // XEP-0092 §5: an attacker might make use of it, so it is for the operator to say.
          config.showOperatingSystem ? el(NS_VERSION, 'os', {}, operatingSystem()) : undefined,
        ),
      ),
    ],
  }),
})
