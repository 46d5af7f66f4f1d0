import { observe } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'

/** Hands an account's undelivered messages to a session that becomes available; the ledger holds them (core/delivery.ts sends them). */
export const offline = defineModule({
  name: 'offline',
  summary: 'Delivers what arrived while no device was there, once and in order.',
  xeps: { 'XEP-0160': '1.0.1', 'XEP-0203': '2.0' },
  features: { server: ['msgoffline'] },

  start: ({ delivery }) => ({
    hooks: [
      observe('session-available', ({ session }) => {
        // XEP-0160 §2: a session with a negative priority gets nothing stored.
        if (session.isWilling) delivery.catchUp(session)
      }),
    ],
  }),
})
