import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Config, ConfigError, loadConfig, type Overrides } from '#server/base/config.ts'
import type { SectionSchema } from '#server/base/schema.ts'
import type { DeclaredModule } from './server-seam.ts'
import { CommandError } from './terminal.ts'

/** The options that every command takes which needs the configuration. */
export interface ConfigurationOptions {
  readonly config?: string
  readonly data?: string
}

const DEFAULT_FILE = 'waxwing.yaml'

/** The file that is read: the one that was named, else `waxwing.yaml` where the command runs, if there is one. */
export const configurationFile = (options: ConfigurationOptions): string | undefined =>
  options.config ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined)

/** The exit code for a wrong configuration and for wrong options. */
export const EXIT_USAGE = 2

/** Reads the configuration, or stops the command with everything that is wrong with it. */
export const readConfiguration = (
  file: string | undefined,
  modules: readonly DeclaredModule[],
  overrides: Overrides = {},
): Config => {
  const schemas: Record<string, SectionSchema> = {}
  for (const { name, config } of modules) if (Object.keys(config).length > 0) schemas[name] = config
  try {
    return loadConfig({ ...(file === undefined ? {} : { file }), overrides, modules: schemas })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const count = error.problems.length
    throw new CommandError(`${error.message}\n${count} ${count === 1 ? 'problem' : 'problems'}; nothing was started.`, EXIT_USAGE)
  }
}

/** Overrides for `--data`, which is meant from where the command runs. */
export const dataOverride = (options: ConfigurationOptions): Overrides =>
  options.data === undefined ? {} : { data: resolve(options.data) }
