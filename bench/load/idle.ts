import { setTimeout as sleep } from 'node:timers/promises'
import { readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { leave, sessionsOf } from './sessions.ts'

/** Every account is online and does nothing; what that costs in memory. */
export async function idle(options: LoadOptions): Promise<Record<string, number>> {
  const from = await readWhenQuiet(options.serverPid)
  const connections = await sessionsOf(options, 0, options.accounts, {
    resource: 'load',
    presence: true,
    streamManagement: options.streamManagement,
  })
  await sleep(options.seconds * 1000)
  const to = await readWhenQuiet(options.serverPid)
  leave(connections)
  return {
    online: connections.length,
    rss_per_conn_kib: (to.rss - from.rss) / 1024 / connections.length,
    rss_after_hold_mib: to.rss / 1048576,
  }
}
