import { faultsIn, type Row } from './row.ts'
import { builtIn, xmppload } from './work.ts'

const SENDERS = 10

/** Messages for accounts that are away, and their coming to get them. */
export const offlineRows: readonly Row[] = [
  {
    id: 'offline',
    title: 'offline: store, then drain',
    setup: { ledger: 'durable', archive: false, passwords: 'clear' },
    unit: 'message',
    figures: ['cpuUs', 'perSecond', 'drainCpuUs', 'drainPerSecond', 'otherCpuSeconds'],
    main: 'cpuUs',
    accounts: ({ offlineAccounts }) => offlineAccounts + SENDERS,
    async run(place) {
      const { offlineAccounts, offlineMessages } = place.scale
      const { figures, problems } =
        place.xmppload === undefined
          ? await builtIn(place, 'tcp', { mode: 'offline', accounts: offlineAccounts + SENDERS })
          : await xmppload(place, 'tcp', {
              mode: 'offline',
              users: offlineAccounts,
              senders: SENDERS,
              msgs: offlineMessages,
              window: 20,
            })
      return {
        sample: {
          cpuUs: figures.store_server_cpu_ms_per_1000,
          perSecond: figures.store_per_s,
          drainCpuUs: figures.drain_server_cpu_ms_per_1000,
          drainPerSecond: figures.drain_per_s,
          otherCpuSeconds: figures.store_other_cpu_s,
        },
        faults: [...faultsIn(figures, ['lost', 'dup', 'reordered', 'failed_conns', 'bad', 'error_stanzas']), ...problems],
      }
    },
  },
]
