import type { Mechanism } from '../client/login.ts'
import { eventLoopSeconds } from '../cpu.ts'
import type { LoadRun } from '../xmppload.ts'
import { faultsIn, type Outcome, type Row, type Workplace } from './row.ts'
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

const FIGURES: Row['figures'] = ['cpuMs', 'loopMs', 'perSecond', 'p50Ms', 'p99Ms', 'clientCpuUs', 'otherCpuSeconds']

/** Connect, authenticate, bind, leave; passwords are kept as keys on every server. */
const passwordRows: readonly Row[] = TRANSPORTS.flatMap(({ transport, suffix, name }) =>
  MECHANISMS.map(
    ({ mechanism, id, passwords }): Row => ({
      id: `login-${id}${suffix}`,
      title: `login by ${mechanism} and bind, ${name}`,
      setup: { ledger: 'off', archive: false, passwords },
      unit: 'login',
      figures: FIGURES,
      main: 'cpuMs',
      accounts: ({ logins }) => logins,
      run: (place) => run(place, transport, mechanism),
    }),
  ),
)

/** The same by the built-in client: a password in the way of RFC 6120, and a client that comes back by its token (XEP-0484) in one round trip. */
const builtInRows: readonly Row[] = [
  {
    id: 'login-node',
    title: 'login by SCRAM-SHA-256 and bind, plain TCP, built-in client',
    run: (place: Workplace) => run({ ...place, xmppload: undefined }, 'tcp', 'SCRAM-SHA-256'),
  },
  {
    id: 'login-fast',
    title: 'login of a client that comes back: SASL2, Bind 2 and a token, plain TCP, built-in client',
    run: (place: Workplace) => comesBack(place, 'tcp'),
  },
  {
    id: 'login-node-alone',
    title: 'login by SCRAM-SHA-256 and bind, one after the other, plain TCP, built-in client',
    run: (place: Workplace) => run({ ...place, xmppload: undefined }, 'tcp', 'SCRAM-SHA-256', 1),
  },
  {
    id: 'login-fast-alone',
    title: 'login of a client that comes back: SASL2, Bind 2 and a token, one after the other, plain TCP, built-in client',
    run: (place: Workplace) => comesBack(place, 'tcp', 1),
  },
  {
    id: 'login-node-tls',
    title: 'login by SCRAM-SHA-256 and bind, direct TLS, built-in client',
    run: (place: Workplace) => run({ ...place, xmppload: undefined }, 'tls', 'SCRAM-SHA-256'),
  },
  {
    id: 'login-fast-tls',
    title: 'login of a client that comes back: SASL2, Bind 2 and a token, direct TLS with its ticket, built-in client',
    run: (place: Workplace) => comesBack(place, 'tls'),
  },
].map(
  (row): Row => ({
    ...row,
    setup: { ledger: 'off', archive: false, passwords: 'sha256' },
    unit: 'login',
    figures: FIGURES,
    main: 'cpuMs',
    accounts: ({ logins }) => logins,
  }),
)

export const loginRows: readonly Row[] = [...passwordRows, ...builtInRows]

async function comesBack(place: Workplace, transport: 'tcp' | 'tls', atOnce?: number): Promise<Outcome> {
  // The peers of these versions have nothing like it.
  if (place.launcher.name !== 'waxwing') return { sample: {}, faults: [] }
  const { figures, problems } = await builtIn(place, transport, {
    mode: 'returning',
    accounts: place.scale.logins,
    ...(atOnce !== undefined && { atOnce }),
  })
  return outcome(figures, problems, figures.loop_ms_per_login)
}

async function run(
  place: Workplace,
  transport: 'tcp' | 'starttls' | 'tls',
  mechanism: Mechanism,
  atOnce?: number,
): ReturnType<Row['run']> {
  const { logins: accounts, loginRounds } = place.scale
  const { figures, problems } =
    place.xmppload === undefined
      ? await builtIn(place, transport, { mode: 'login', accounts, mechanism, ...(atOnce !== undefined && { atOnce }) })
      : await timed(place, transport, { mode: 'login', users: accounts, rounds: 1 + loginRounds, mech: mechanism })
  return outcome(figures, problems, place.launcher.name === 'waxwing' ? figures.loop_ms_per_login : undefined)
}

/** Runs xmppload, whose first round warms up both sides and is not counted; its figures, and those of the event loop. */
async function timed(
  place: Workplace,
  transport: 'tcp' | 'starttls' | 'tls',
  flags: Readonly<Record<string, string | number>>,
): Promise<LoadRun> {
  const { pid } = place.server
  let loopBefore = 0
  const { figures, problems } = await xmppload(place, transport, flags, (line) => {
    if (line.includes('round 0')) loopBefore = eventLoopSeconds(pid)
  })
  const loopSeconds = eventLoopSeconds(pid) - loopBefore
  return { figures: { ...figures, loop_ms_per_login: (loopSeconds * 1000) / (figures.logins ?? 1) }, problems }
}

const outcome = (figures: LoadRun['figures'], problems: readonly string[], loopMs: number | undefined): Outcome => ({
  sample: {
    cpuMs: figures.server_cpu_ms_per_login,
    ...(loopMs === undefined ? {} : { loopMs }),
    perSecond: figures.logins_per_s,
    p50Ms: figures.login_p50_ms,
    p99Ms: figures.login_p99_ms,
    clientCpuUs: (figures.client_cpu_ms_per_login ?? 0) * 1000,
    otherCpuSeconds: figures.other_cpu_s,
  },
  faults: [...faultsIn(figures, ['failed_conns', 'bad', 'error_stanzas']), ...problems],
})
