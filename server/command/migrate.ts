import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '#server/base/clock.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, EXIT_USAGE, readConfiguration } from './configuration.ts'
import { connectControl, controlSocket } from './control.ts'
import type { ServerSeam } from './server-seam.ts'
import { CommandError, type Terminal } from './terminal.ts'

/** The options of `waxwing migrate`. */
export interface MigrateOptions extends ConfigurationOptions {
  readonly from: string
  readonly to: string
  readonly url?: string
}

/** A line at most so often, and one at each end. */
const LINE_MS = 2000

/** Copies everything from the embedded store to MongoDB, and says how far it is. */
export const migrateStore = async (terminal: Terminal, server: ServerSeam, options: MigrateOptions): Promise<void> => {
  if (options.from !== 'embedded' || options.to !== 'mongodb')
    throw new CommandError('What there is: --from embedded --to mongodb.', EXIT_USAGE)
  const config = readConfiguration(configurationFile(options), server.modules, dataOverride(options))
  const url = options.url ?? config.store.url
  if (url === undefined) throw new CommandError('Say where MongoDB is: --url, or store.url in the configuration.', EXIT_USAGE)
  if (!existsSync(join(config.data, 'waxwing.db'))) throw new CommandError(`There is no embedded store in ${config.data}.`)
  if ((await connectControl(controlSocket(config.data))) !== undefined)
    throw new CommandError(`A server runs on ${config.data}. Stop it first: what it takes in meanwhile would be left behind.`)

  let saidMs = Number.NEGATIVE_INFINITY
  const { migrate } = await import('#storage/migrate.ts')
  const { accounts, documents, expiring, entries } = await migrate({
    folder: config.data,
    url,
    nowMs: () => systemClock.nowMs(),
    onProgress(what, done, all) {
      const nowMs = systemClock.monotonicMs()
      if (done < all && nowMs - saidMs < LINE_MS) return
      saidMs = nowMs
      terminal.err(`${what} ${done} of ${all} (${Math.floor((done * 100) / all)} %)`)
    },
  })
  terminal.out(
    `${accounts} accounts, ${documents} documents, ${expiring} expiring values and ${entries} messages are in MongoDB, and the same as here.`,
  )
  terminal.out('Now write store.driver: mongodb and store.url into the configuration. The data folder stays as it is.')
}
