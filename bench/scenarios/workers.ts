import { setTimeout as sleep } from 'node:timers/promises'
import { registerAccounts } from '../client/accounts.ts'
import { threadSeconds } from '../cpu.ts'
import { makeFolder } from '../processes.ts'
import { lendProcessors, type Processors, shareOfTwo } from '../processors.ts'
import type { Setup } from '../servers/server.ts'
import { startWaxwing } from '../servers/waxwing.ts'
import { runLoad } from '../websocket-load.ts'
import { type Figures, runXmppload } from '../xmppload.ts'
import { faultsIn, type OwnRow, type Workplace } from './row.ts'

type Kind = { readonly id: string; readonly title: string; readonly ledger: Setup['ledger'] }

const KINDS: readonly Kind[] = [
  { id: 'workers', title: 'chat, ledger off', ledger: 'off' },
  { id: 'workers-durable', title: 'chat, ledger durable in the embedded store', ledger: 'durable' },
]

/** One process that serves clients against two, on the same machine and store. Who writes to whom is left to chance, so half of the messages cross. */
export const workersRows: readonly OwnRow[] = KINDS.map(
  ({ id, title, ledger }): OwnRow => ({
    id,
    title: `${title}: one worker against two`,
    unit: 'delivered message',
    figures: [
      ...(['oneWorkerPerSecond', 'twoWorkersPerSecond', 'workersGain'] as const),
      ...(['oneWorkerUs', 'twoWorkersUs', 'workersGainByCpu', 'oneWorkerBusiestUs', 'twoWorkersBusiestUs'] as const),
      ...(['workersGainByBusiest', 'clientShare', 'oneProcessorPerSecond', 'twoProcessorsPerSecond'] as const),
      'workersGainByProcessors',
    ],
    main: 'twoWorkersUs',
    missing: () => undefined,
    runOwn: async (place) => {
      const one = await chatOver(1, ledger, place)
      const two = await chatOver(2, ledger, place)
      const oneSlow = await chatOver(1, ledger, place, shareOfTwo())
      const twoSlow = await chatOver(2, ledger, place, 2 * shareOfTwo())
      const us = (figures: Figures) => figures.server_cpu_ms_per_1000_delivered ?? Number.NaN
      const rate = (figures: Figures) => figures.delivered_per_s ?? Number.NaN
      const client = two.client_cpu_ms_per_1000_delivered ?? Number.NaN
      return {
        sample: {
          oneWorkerPerSecond: rate(one),
          twoWorkersPerSecond: rate(two),
          workersGain: rate(two) / rate(one),
          oneWorkerUs: us(one),
          twoWorkersUs: us(two),
          workersGainByCpu: (2 * us(one)) / us(two),
          oneWorkerBusiestUs: one.busiest_us,
          twoWorkersBusiestUs: two.busiest_us,
          workersGainByBusiest: (one.busiest_us ?? Number.NaN) / (two.busiest_us ?? Number.NaN),
          clientShare: client / (client + us(two)),
          ...(oneSlow && twoSlow
            ? {
                oneProcessorPerSecond: rate(oneSlow),
                twoProcessorsPerSecond: rate(twoSlow),
                workersGainByProcessors: rate(twoSlow) / rate(oneSlow),
              }
            : {}),
        },
        faults: [one, two, oneSlow, twoSlow].flatMap((figures, at) =>
          faultsIn(figures ?? {}, ['lost', 'dup', 'reordered', 'failed_conns', 'bad', 'error_stanzas']).map(
            (fault) => `workers ${(at % 2) + 1}: ${fault}`,
          ),
        ),
      }
    },
  }),
)

type Place = Pick<Workplace, 'scale' | 'xmppload'>

/** With so many processors of its own, if a number of them is said; `undefined` where they cannot be lent to it. */
async function chatOver(workers: number, ledger: Setup['ledger'], place: Place): Promise<Figures>
async function chatOver(workers: number, ledger: Setup['ledger'], place: Place, processors: number): Promise<Figures | undefined>
async function chatOver(
  workers: number,
  ledger: Setup['ledger'],
  { scale, xmppload }: Place,
  processors?: number,
): Promise<Figures | undefined> {
  const config = { workers, ledger: { mode: ledger } }
  const server = await startWaxwing({ folder: makeFolder(`workers-${workers}`), config })
  const { pid, domain, ports } = server
  let lent: Processors | undefined
  try {
    await registerAccounts({ kind: 'tcp', port: ports.c2s, domain }, scale.accounts)
    await sleep(500)
    if (processors !== undefined) lent = lendProcessors(pid, processors)
    if (processors !== undefined && lent === undefined) return undefined
    const { accounts, window, seconds, warmupSeconds } = scale
    const before = threadSeconds(pid)
    const { figures } =
      xmppload === undefined
        ? await runLoad({
            ...{ mode: 'chat', target: { kind: 'tcp', port: ports.c2s, domain }, mechanism: 'PLAIN', serverPid: pid },
            ...{ accounts, window, seconds, warmupSeconds, messages: 0, streamManagement: false },
          })
        : await runXmppload(xmppload, {
            ...{ mode: 'chat', port: ports.c2s, domain, 'server-pid': pid, mech: 'PLAIN', tls: 'none' },
            ...{ users: accounts, window, duration: seconds, warmup: warmupSeconds, drain: 20 },
          })
    // The busiest thread decides how much all can do, where there are processors enough: the loop of a worker, or the owner of the store.
    const busiest = Math.max(...[...threadSeconds(pid)].map(([thread, seconds]) => seconds - (before.get(thread) ?? 0)))
    return { ...figures, busiest_us: (busiest * 1e6) / (figures.delivered ?? Number.NaN) }
  } finally {
    await server.end()
    await lent?.release()
  }
}
