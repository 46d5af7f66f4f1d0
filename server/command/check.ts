import { type ConfigurationOptions, configurationFile, dataOverride, readConfiguration } from './configuration.ts'
import type { ServerSeam } from './server-seam.ts'
import type { Terminal } from './terminal.ts'

/** Reads the configuration and says whether a server would start from it. */
export const check = (terminal: Terminal, server: ServerSeam, options: ConfigurationOptions): void => {
  const file = configurationFile(options)
  const config = readConfiguration(file, server.modules, dataOverride(options))
  terminal.out(file === undefined ? 'There is no waxwing.yaml here; the defaults are in order.' : `${file} is in order.`)
  terminal.out(`It serves ${config.domain} and keeps its data in ${config.store.driver === 'mongodb' ? 'MongoDB' : config.data}.`)
}
