import { faultsIn, type Row } from './row.ts'
import { builtIn } from './work.ts'

const CONTACTS = 100

type Kind = { readonly id: string; readonly title: string; readonly publishers: number; readonly window: number }

const KINDS: readonly Kind[] = [
  // Items of one account come one after the other, each durable before it is seen.
  { id: 'pep', title: 'personal events: one account publishes to 100 interested contacts', publishers: 1, window: 4 },
  { id: 'pep-many', title: 'personal events: ten accounts publish to the same 100 contacts', publishers: 10, window: 1 },
]

/** Accounts publish, a hundred contacts of theirs want to know. */
export const pepRows: readonly Row[] = KINDS.map(
  ({ id, title, publishers, window }): Row => ({
    id,
    title: `${title}, plain TCP, built-in client`,
    setup: { ledger: 'durable', archive: false, passwords: 'clear', events: true },
    unit: 'delivered event',
    figures: ['cpuUs', 'perSecond', 'p50Ms', 'p99Ms', 'clientCpuUs', 'otherCpuSeconds'],
    main: 'cpuUs',
    accounts: () => CONTACTS + publishers,
    async run(place) {
      const accounts = CONTACTS + publishers
      const { figures, problems } = await builtIn(place, 'tcp', { mode: 'events', accounts, publishers, window })
      return {
        sample: {
          cpuUs: figures.server_cpu_ms_per_1000_delivered,
          perSecond: figures.delivered_per_s,
          p50Ms: figures.lat_p50_ms,
          p99Ms: figures.lat_p99_ms,
          clientCpuUs: figures.client_cpu_ms_per_1000_delivered,
          otherCpuSeconds: figures.other_cpu_s,
        },
        faults: [...faultsIn(figures, ['lost', 'reordered', 'failed_conns', 'error_stanzas']), ...problems],
      }
    },
  }),
)
