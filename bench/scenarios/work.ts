import type { Target } from '../client/connection.ts'
import type { LoadOptions } from '../load/options.ts'
import { runLoad } from '../websocket-load.ts'
import { type LoadRun, runXmppload } from '../xmppload.ts'
import type { Workplace } from './row.ts'

export type Transport = 'tcp' | 'starttls' | 'tls' | 'websocket'

/** Where a client of that kind connects to. */
export function targetOf({ server }: Workplace, transport: Transport): Target {
  const { domain, ports } = server
  switch (transport) {
    case 'websocket':
      return { kind: 'websocket', url: server.websocketUrl, domain }
    case 'tls':
      return { kind: 'tls', port: ports.tls, domain }
    case 'tcp':
    case 'starttls':
      return { kind: transport, port: ports.c2s, domain }
  }
}

/** Runs xmppload against the server of the row. */
export function xmppload(
  place: Workplace,
  transport: Transport,
  flags: Readonly<Record<string, string | number | true>>,
  onLine?: (line: string) => void,
): Promise<LoadRun> {
  const { server, mechanism, xmppload: binary } = place
  if (binary === undefined) throw new Error('this row needs xmppload')
  const allFlags = {
    port: transport === 'tls' ? server.ports.tls : server.ports.c2s,
    domain: server.domain,
    'server-pid': server.pid,
    mech: mechanism,
    tls: transport === 'tls' ? 'direct' : transport === 'starttls' ? 'starttls' : 'none',
    ...flags,
  }
  return runXmppload(binary, allFlags, onLine)
}

/** Runs the built-in load client against the server of the row. */
export function builtIn(
  place: Workplace,
  transport: Transport,
  options: Pick<LoadOptions, 'mode' | 'accounts'> & Partial<LoadOptions>,
): Promise<LoadRun> {
  const { server, mechanism, scale } = place
  return runLoad({
    target: targetOf(place, transport),
    mechanism,
    serverPid: server.pid,
    window: scale.window,
    warmupSeconds: scale.warmupSeconds,
    seconds: scale.seconds,
    messages: scale.offlineMessages,
    rounds: scale.loginRounds,
    streamManagement: false,
    ...options,
  })
}
