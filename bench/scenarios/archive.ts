import { faultsIn, type Row } from './row.ts'
import { builtIn } from './work.ts'

const SENDERS = 8

/** A large archive, read in pages of fifty. Peers get a smaller one: their pages cost more the more there is, and would take all day. */
export const archiveRows: readonly Row[] = [
  {
    id: 'archive',
    title: 'archive: a page of 50 at the beginning, in the middle and at the end, plain TCP, built-in client',
    setup: { ledger: 'durable', archive: true, passwords: 'clear' },
    unit: 'page',
    figures: ['lastPageMs', 'middlePageMs', 'firstPageMs', 'perSecond'],
    main: 'lastPageMs',
    accounts: () => SENDERS + 1,
    async run(place) {
      const { archived, archivedByPeers } = place.scale
      const messages = place.launcher.name === 'waxwing' ? archived : archivedByPeers
      const { figures, problems } = await builtIn(place, 'tcp', { mode: 'archive', accounts: SENDERS + 1, messages })
      return {
        sample: {
          firstPageMs: figures.first_server_cpu_ms_per_page,
          middlePageMs: figures.middle_server_cpu_ms_per_page,
          lastPageMs: figures.last_server_cpu_ms_per_page,
          perSecond: figures.pages_per_s,
        },
        faults: [...faultsIn(figures, ['lost', 'error_stanzas']), ...problems],
      }
    },
  },
]
