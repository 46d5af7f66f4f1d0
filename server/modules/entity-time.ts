import { defineModule, onGet } from '#server/core/module.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import { el } from '#stanzas/element.ts'

const NS_TIME = 'urn:xmpp:time'

/** Tells the server's time. */
export const entityTime = defineModule({
  name: 'entity-time',
  summary: 'Tells what time it is for the server.',
  xeps: { 'XEP-0202': '2.0' },
  features: { server: [NS_TIME] },

  start: ({ clock }) => ({
    iq: [
      onGet(NS_TIME, 'time', 'server', () =>
        // XEP-0202 §6: an offset would tell where the machine stands, so the server lives in UTC.
        el(NS_TIME, 'time', {}, el(NS_TIME, 'tzo', {}, 'Z'), el(NS_TIME, 'utc', {}, formatDateTime(clock.nowMs()))),
      ),
    ],
  }),
})
