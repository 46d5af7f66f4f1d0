import type { Receivers } from '../kill/options.ts'
import { checkKill } from '../kill-check.ts'
import type { Row } from './row.ts'
import { targetOf } from './work.ts'

// Hanging receivers are few and their messages large, so that what is under way really fills their sockets.
const KINDS: readonly {
  readonly receivers: Receivers
  readonly title: string
  readonly pairs: number
  readonly bodyBytes: number
}[] = [
  { receivers: 'read', title: 'kill -9 under load, receivers read', pairs: 100, bodyBytes: 100 },
  { receivers: 'away', title: 'kill -9 under load, receivers are away', pairs: 100, bodyBytes: 100 },
  { receivers: 'hang', title: 'kill -9 under load, receivers hang with a full socket', pairs: 20, bodyBytes: 4000 },
]
const WINDOW = 20

/** What is left of the acknowledged messages after kill -9; the peers' archives are off, since a client is owed live delivery. */
export const killRows: readonly Row[] = KINDS.map(
  ({ receivers, title, pairs, bodyBytes }): Row => ({
    id: `kill-${receivers}`,
    title,
    setup: { ledger: 'durable', archive: false, passwords: 'clear' },
    unit: 'kill',
    figures: ['acked', 'lost', 'doubled', 'reordered', 'repeated', ...(receivers === 'hang' ? (['fullSockets'] as const) : [])],
    main: 'lost',
    accounts: () => 2 * pairs,
    async run(place) {
      const { server, mechanism, scale, killAndRestart } = place
      const report = await checkKill(
        {
          receivers,
          pairs,
          bodyBytes,
          mechanism,
          target: targetOf(place, 'tcp'),
          serverPort: server.ports.c2s,
          window: WINDOW,
          seconds: scale.killSeconds,
        },
        killAndRestart,
      )
      const { acked, lost, doubled, repeated, reordered, fullSockets, notBack } = report
      return {
        sample: { acked, lost, doubled, repeated, reordered, ...(receivers === 'hang' && { fullSockets }) },
        faults: notBack > 0 ? [`${notBack} did not come back`] : [],
      }
    },
  }),
)
