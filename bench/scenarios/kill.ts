import { once } from 'node:events'
import { existsSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Receivers } from '../kill/options.ts'
import { checkKill } from '../kill-check.ts'
import { dropFolder, makeFolder } from '../processes.ts'
import { faultsIn, type Row } from './row.ts'
import { targetOf, xmppload } from './work.ts'

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

const FLAGS = { read: {}, away: { 'offline-recv': true }, hang: { 'stall-recv': true } } as const

/** The same seen by xmppload, which neither resumes nor compares stanza ids and so counts every copy of a body as doubled. */
export const strictKillRows: readonly Row[] = KINDS.map(
  ({ receivers, title }): Row => ({
    id: `bodies-kill-${receivers}`,
    title: `${title}; copies told apart by body`,
    setup: { ledger: 'durable', archive: false, passwords: 'clear' },
    unit: 'kill',
    figures: ['acked', 'lost', 'doubled', 'reordered'],
    main: 'lost',
    accounts: () => 200,
    needsXmppload: true,
    async run(place) {
      const folder = makeFolder('kill')
      const killed = killWhenAsked(folder, place.killAndRestart)
      const { figures, problems } = await xmppload(place, 'tcp', {
        mode: 'kill',
        users: 200,
        window: WINDOW,
        'kill-at': place.scale.killSeconds,
        'kill-cmd': `touch ${folder}/asked; while [ ! -e ${folder}/done ]; do sleep 0.05; done`,
        ...FLAGS[receivers],
      })
      await killed
      dropFolder(folder)
      const { acked_by_sm: acked, acked_lost_everywhere: lost, duplicates: doubled, reordered } = figures
      return { sample: { acked, lost, doubled, reordered }, faults: [...faultsIn(figures, ['bad', 'sm_bad']), ...problems] }
    },
  }),
)

// xmppload asks by a file for the kill and learns by another that the server answers again.
async function killWhenAsked(folder: string, killAndRestart: () => Promise<unknown>): Promise<void> {
  const watcher = watch(folder)
  while (!existsSync(join(folder, 'asked'))) await once(watcher, 'change')
  watcher.close()
  await killAndRestart()
  writeFileSync(join(folder, 'done'), '')
}
