import { bareTlsSocketKib } from '../bare-tls.ts'
import { faultsIn, type Row } from './row.ts'
import { builtIn, xmppload } from './work.ts'

const HOLD_SECONDS = 5

/** Sessions that are online, with presence and XEP-0198, and do nothing. */
export const idleRows: readonly Row[] = (['tcp', 'tls'] as const).map(
  (transport): Row => ({
    id: transport === 'tcp' ? 'idle' : 'idle-tls',
    title: `idle session with presence and 0198, ${transport === 'tcp' ? 'plain TCP' : 'TLS 1.3'}`,
    setup: { ledger: 'off', archive: false, passwords: 'clear' },
    unit: 'connection',
    figures: transport === 'tcp' ? ['connectionKib', 'rssMib'] : ['connectionKib', 'bareTlsKib', 'rssMib'],
    main: 'connectionKib',
    accounts: ({ idle, idleTls }) => (transport === 'tcp' ? idle : idleTls),
    async run(place) {
      const accounts = this.accounts(place.scale)
      const { figures, problems } =
        place.xmppload === undefined
          ? await builtIn(place, transport, { mode: 'idle', accounts, streamManagement: true, seconds: HOLD_SECONDS })
          : await xmppload(place, transport, { mode: 'idle', users: accounts, sm: true, presence: true, duration: HOLD_SECONDS })
      return {
        sample: {
          connectionKib: figures.rss_per_conn_kib,
          rssMib: figures.rss_after_hold_mib,
          ...(transport === 'tls' && place.launcher.name === 'waxwing' && { bareTlsKib: await bareTlsSocketKib(accounts) }),
        },
        faults: [...faultsIn(figures, ['failed_conns', 'bad', 'error_stanzas']), ...problems],
      }
    },
  }),
)
