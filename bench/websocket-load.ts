import { fork } from 'node:child_process'
import { once } from 'node:events'
import { archive } from './load/archive.ts'
import { chat } from './load/chat.ts'
import { events } from './load/events.ts'
import { idle } from './load/idle.ts'
import { login } from './load/login.ts'
import { offline } from './load/offline.ts'
import type { LoadOptions } from './load/options.ts'
import { returning } from './load/returning.ts'
import { adopt } from './processes.ts'
import type { LoadRun } from './xmppload.ts'

// The built-in load client. It speaks WebSocket as well as TCP, which xmppload does not, so that the two can be compared with one
// tool; and it stands in for xmppload in a simpler form where that is not to be had. It is a process of its own: its time is not the server's.

const MODES = { chat, login, returning, idle, offline, events, archive }

/** Runs the built-in load client in a process of its own. */
export async function runLoad(options: LoadOptions): Promise<LoadRun> {
  const child = fork(import.meta.filename, [JSON.stringify(options)])
  adopt(child)
  const [figures] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`the load client ended with ${code}`)
    }),
  ])
  child.disconnect()
  return { figures: figures as LoadRun['figures'], problems: [] }
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as LoadOptions
  const figures = await MODES[options.mode](options)
  process.send?.(figures, () => process.exit(0))
}
