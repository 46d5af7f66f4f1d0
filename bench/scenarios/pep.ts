import { faultsIn, type Row } from './row.ts'
import { builtIn } from './work.ts'

const CONTACTS = 100

/** One account publishes, a hundred contacts want to know. */
export const pepRows: readonly Row[] = [
  {
    id: 'pep',
    title: 'personal events: publish to 100 interested contacts, plain TCP, built-in client',
    setup: { ledger: 'durable', archive: false, passwords: 'clear', events: true },
    unit: 'delivered event',
    figures: ['cpuUs', 'perSecond', 'p50Ms', 'p99Ms', 'clientCpuUs', 'otherCpuSeconds'],
    main: 'cpuUs',
    accounts: () => CONTACTS + 1,
    async run(place) {
      const { figures, problems } = await builtIn(place, 'tcp', { mode: 'events', accounts: CONTACTS + 1 })
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
  },
]
