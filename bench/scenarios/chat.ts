import type { LoadRun } from '../xmppload.ts'
import { faultsIn, type Outcome, type Row } from './row.ts'
import { builtIn, type Transport, xmppload } from './work.ts'

type Kind = {
  readonly id: string
  readonly title: string
  readonly ledger: 'off' | 'durable'
  readonly transport: Transport
  /** Which client does the work; rows are compared only where it is the same. */
  readonly tool: 'any' | 'xmppload' | 'built-in'
  readonly flags?: Readonly<Record<string, number | true>>
}

const KINDS: readonly Kind[] = [
  { id: 'chat', title: 'chat, plain TCP, ledger off', ledger: 'off', transport: 'tcp', tool: 'any' },
  { id: 'chat-tls', title: 'chat, TLS 1.3, ledger off', ledger: 'off', transport: 'tls', tool: 'any' },
  { id: 'chat-durable', title: 'chat, plain TCP, ledger durable', ledger: 'durable', transport: 'tcp', tool: 'any' },
  { id: 'chat-durable-tls', title: 'chat, TLS 1.3, ledger durable', ledger: 'durable', transport: 'tls', tool: 'any' },
  {
    id: 'chat-sm',
    title: 'chat with 0198, carbons and answered receipts (two messages a unit), ledger off',
    ledger: 'off',
    transport: 'tcp',
    tool: 'xmppload',
    flags: { sm: true, carbons: true, receipts: true },
  },
  {
    id: 'chat-rate',
    title: 'chat, 1,000 messages a second, ledger off',
    ledger: 'off',
    transport: 'tcp',
    tool: 'xmppload',
    flags: { rate: 1000 },
  },
  {
    id: 'chat-durable-rate',
    title: 'chat, 1,000 messages a second, ledger durable',
    ledger: 'durable',
    transport: 'tcp',
    tool: 'xmppload',
    flags: { rate: 1000 },
  },
  { id: 'chat-node-tcp', title: 'chat, plain TCP, built-in client', ledger: 'off', transport: 'tcp', tool: 'built-in' },
  { id: 'chat-websocket', title: 'chat, WebSocket, built-in client', ledger: 'off', transport: 'websocket', tool: 'built-in' },
]

/** Accounts in pairs that write to each other both ways. */
export const chatRows: readonly Row[] = KINDS.map(
  ({ id, title, ledger, transport, tool, flags }): Row => ({
    id,
    title,
    setup: { ledger, archive: ledger === 'durable', passwords: 'clear' },
    unit: 'delivered message',
    figures: ['cpuUs', 'perSecond', 'p50Ms', 'p99Ms', 'clientCpuUs', 'otherCpuSeconds'],
    main: 'cpuUs',
    accounts: ({ accounts }) => accounts,
    ...(tool === 'xmppload' && { needsXmppload: true }),
    async run(place) {
      const { accounts, window, seconds, warmupSeconds } = place.scale
      if (tool === 'built-in' || place.xmppload === undefined) {
        return outcomeOf(await builtIn(place, transport, { mode: 'chat', accounts }))
      }
      const load = { mode: 'chat', users: accounts, window, duration: seconds, warmup: warmupSeconds, drain: 20 }
      return outcomeOf(await xmppload(place, transport, { ...load, ...flags }))
    },
  }),
)

function outcomeOf({ figures, problems }: LoadRun): Outcome {
  return {
    sample: {
      // Milliseconds a thousand are microseconds each.
      cpuUs: figures.server_cpu_ms_per_1000_delivered,
      perSecond: figures.delivered_per_s,
      p50Ms: figures.lat_p50_ms,
      p99Ms: figures.lat_p99_ms,
      clientCpuUs: figures.client_cpu_ms_per_1000_delivered,
      otherCpuSeconds: figures.other_cpu_s,
    },
    faults: [
      ...faultsIn(figures, ['lost', 'dup', 'reordered', 'failed_conns', 'bad', 'error_stanzas', 'sm_bad', 'receipts_bad']),
      ...problems,
    ],
  }
}
