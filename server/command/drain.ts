import { pause } from '#server/base/clock.ts'
import type { DrainProgress } from '#server/base/operations.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, readConfiguration } from './configuration.ts'
import { connectControl, controlSocket } from './control.ts'
import type { ServerSeam } from './server-seam.ts'
import { CommandError, type Terminal } from './terminal.ts'

/** The options of `waxwing drain`. */
export interface DrainOptions extends ConfigurationOptions {
  readonly grace: number
}

const LOOK_MS = 1_000

/** Tells the running server to hand its clients over to the other nodes and end, and says how far it is; returns when that is done. */
export const drain = async (terminal: Terminal, server: ServerSeam, options: DrainOptions): Promise<void> => {
  const config = readConfiguration(configurationFile(options), server.modules, dataOverride(options))
  const running = await connectControl(controlSocket(config.data))
  if (running === undefined) throw new CommandError(`No server runs on ${config.data}.`)
  let isOver = false
  const drained = running.drain(options.grace * 1_000).finally(() => (isOver = true))
  // It is awaited below, after the last look.
  drained.catch(() => undefined)
  let said = ''
  while (!isOver) {
    const progress = await running.drainProgress().catch(() => undefined)
    const line = isOver || progress === undefined ? '' : inWords(progress, options.grace)
    if (line !== '' && line !== said) terminal.err(line)
    said = line
    await Promise.race([drained.catch(() => undefined), pause(LOOK_MS)])
  }
  await drained
  terminal.out('The server has handed over what it had, and stops.')
}

const inWords = ({ phase, clients }: DrainProgress, graceSeconds: number): string => {
  const left = clients === undefined ? '' : `; clients left: ${clients}`
  switch (phase) {
    case 'serving':
      return ''
    case 'waiting':
      return `Not ready any more; for ${graceSeconds} s whoever comes is still served${left}`
    case 'leaving':
      return `Nobody is let in${left}`
    case 'stopping':
      return 'All clients have gone; what is under way is written'
  }
}
