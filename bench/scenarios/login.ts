import type { Mechanism } from '../client/login.ts'
import { eventLoopSeconds } from '../cpu.ts'
import { faultsIn, type Row, type Workplace } from './row.ts'
import { builtIn, xmppload } from './work.ts'

const MECHANISMS = [
  { mechanism: 'PLAIN', id: 'plain', passwords: 'sha1' },
  { mechanism: 'SCRAM-SHA-1', id: 'scram-sha-1', passwords: 'sha1' },
  { mechanism: 'SCRAM-SHA-256', id: 'scram-sha-256', passwords: 'sha256' },
] as const

const TRANSPORTS = [
  { transport: 'tcp', suffix: '', name: 'plain TCP' },
  { transport: 'starttls', suffix: '-starttls', name: 'STARTTLS' },
] as const

/** Connect, authenticate, bind, leave; passwords are kept as keys on every server. */
export const loginRows: readonly Row[] = TRANSPORTS.flatMap(({ transport, suffix, name }) =>
  MECHANISMS.map(
    ({ mechanism, id, passwords }): Row => ({
      id: `login-${id}${suffix}`,
      title: `login by ${mechanism} and bind, ${name}`,
      setup: { ledger: 'off', archive: false, passwords },
      unit: 'login',
      figures: ['cpuMs', 'loopMs', 'perSecond', 'p50Ms', 'p99Ms', 'clientCpuUs', 'otherCpuSeconds'],
      main: 'cpuMs',
      accounts: ({ logins }) => logins,
      run: (place) => run(place, transport, mechanism),
    }),
  ),
)

async function run(place: Workplace, transport: 'tcp' | 'starttls', mechanism: Mechanism): ReturnType<Row['run']> {
  const { pid } = place.server
  const accounts = place.scale.logins
  let loopBefore = 0
  const markLoop = () => {
    loopBefore = eventLoopSeconds(pid)
  }
  const measured = async () => {
    if (place.xmppload !== undefined) {
      // The first round warms up both sides and is not counted by xmppload either.
      const flags = { mode: 'login', users: accounts, rounds: 2, mech: mechanism }
      return await xmppload(place, transport, flags, (line) => line.includes('round 0') && markLoop())
    }
    const load = { mode: 'login', accounts, mechanism } as const
    await builtIn(place, transport, load)
    markLoop()
    return await builtIn(place, transport, load)
  }
  const { figures, problems } = await measured()
  const loopSeconds = eventLoopSeconds(pid) - loopBefore
  return {
    sample: {
      cpuMs: figures.server_cpu_ms_per_login,
      ...(place.launcher.name === 'waxwing' && { loopMs: (loopSeconds * 1000) / (figures.logins ?? 1) }),
      perSecond: figures.logins_per_s,
      p50Ms: figures.login_p50_ms,
      p99Ms: figures.login_p99_ms,
      clientCpuUs: (figures.client_cpu_ms_per_login ?? 0) * 1000,
      otherCpuSeconds: figures.other_cpu_s,
    },
    faults: [...faultsIn(figures, ['failed_conns', 'bad', 'error_stanzas']), ...problems],
  }
}
