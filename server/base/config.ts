import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import {
  type Overrides,
  overlay,
  type Place,
  readOverrides,
  readYaml,
  type Written,
  type WrittenSection,
} from './config-source.ts'
import { type CoreConfig, coreSchema } from './core-config.ts'
import { type ConfigOf, type Field, type Section, type SectionSchema, section, show } from './schema.ts'

export type { Overrides } from './config-source.ts'
export type { CoreConfig } from './core-config.ts'

/** The whole configuration: core sections, and one of each module under `modules`. */
export interface Config extends CoreConfig {
  readonly modules: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** The file as it was named, or `command line`. */
  readonly file: string
  readonly line?: number
  readonly column?: number
  /** Keys from the top, joined by dots; empty for the file itself. */
  readonly path: string
  readonly reason: string
  readonly fix: string
}

/** Where the configuration comes from. */
export interface ConfigOptions {
  /** A file that must exist; without it, defaults and overrides alone. */
  readonly file?: string
  readonly overrides?: Overrides
  /** The `config` of each module, by its name. */
  readonly modules?: Readonly<Record<string, SectionSchema>>
}

/** Says everything that is wrong with a configuration, one problem a line. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(problems.map(describeProblem).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** A problem as one line: file, place, path, reason, and what to write instead. */
export const describeProblem = ({ file, line, column, path, reason, fix }: Problem): string =>
  `${file}${line === undefined ? '' : `:${line}:${column}`}: ${path === '' ? '' : `${path}: `}${reason}. ${fix}`

/** Reads file and overrides into a checked configuration; throws a `ConfigError` with every problem there is. */
export const loadConfig = (options: ConfigOptions = {}): Config => {
  const { file, overrides = {}, modules = {} } = options
  const problems: Problem[] = []
  const fromFile = file === undefined ? undefined : readFile(file, problems)
  if (problems.length > 0) throw new ConfigError(problems)

  const above = readOverrides('command line', overrides)
  const written = fromFile === undefined ? above : overlay(fromFile, above)
  const moduleSections: Record<string, Section<SectionSchema>> = {}
  for (const [name, fields] of Object.entries(modules)) moduleSections[name] = section({ doc: '', fields })
  const schema = { ...coreSchema, modules: section({ doc: '', fields: moduleSections }) }

  const reader = new Reader(file === undefined ? process.cwd() : dirname(resolve(file)), problems)
  const config = reader.section(schema, written, '')
  checkTogether(config, written, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** The addresses that client ports listen on: what is written, else the loopback for localhost and every address for a real domain. */
export const listenAddresses = (config: CoreConfig): readonly string[] => {
  if (config.listen.address.length > 0) return config.listen.address
  return config.domain === 'localhost' ? ['127.0.0.1', '::1'] : ['::']
}

/** A module's part of the configuration, typed by the schema that the module declares. */
export const moduleConfig = <const S extends SectionSchema>(config: Config, name: string, _schema: S): ConfigOf<S> =>
  // The reader has built this value from the same schema.
  (config.modules[name] ?? {}) as ConfigOf<S>

const readFile = (file: string, problems: Problem[]): WrittenSection | undefined => {
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const reason = isMissing
      ? 'there is no such file'
      : `the file cannot be read: ${error instanceof Error ? error.message : String(error)}`
    problems.push({
      file,
      path: '',
      reason,
      fix: 'Name an existing file with --config, or leave --config out to run with defaults.',
    })
    return undefined
  }
  const read = readYaml(file, source)
  if ('kind' in read) return read
  for (const problem of read) problems.push({ file, path: '', ...problem })
  return undefined
}

/** Turns what was written into values by a schema, and collects what is wrong. */
class Reader {
  readonly #folder: string
  readonly #problems: Problem[]

  constructor(folder: string, problems: Problem[]) {
    this.#folder = folder
    this.#problems = problems
  }

  section<S extends SectionSchema>(schema: S, written: Written | undefined, path: string): ConfigOf<S> {
    const isEmpty = written === undefined || (written.kind === 'value' && written.value === null)
    if (!isEmpty && written.kind === 'value')
      this.#report(
        written,
        written.place,
        path,
        `${show(written.value)} is not a section`,
        `Write keys of it, indented below: ${Object.keys(schema).join(', ')}.`,
      )
    const entries = written?.kind === 'section' ? written.entries : undefined
    if (written !== undefined)
      for (const [key, { keyPlace, written: value }] of entries ?? [])
        if (!Object.hasOwn(schema, key))
          this.#report(value, keyPlace, join(path, key), 'there is no such key', suggestion(key, Object.keys(schema)))

    const values: Record<string, unknown> = {}
    for (const [key, part] of Object.entries(schema)) {
      const inner = entries?.get(key)?.written
      values[key] =
        part.kind === 'section' ? this.section(part.fields, inner, join(path, key)) : this.#field(part, inner, join(path, key))
    }
    // Every key of the schema has been given the value that its field yields.
    return values as ConfigOf<S>
  }

  #field(field: Field<unknown>, written: Written | undefined, path: string): unknown {
    if (written === undefined) return this.#located(field, field.default)
    if (written.kind === 'section') {
      this.#report(written, written.place, path, 'a section is not a value', `Write ${field.accepts}.`)
      return field.default
    }
    const result = v.safeParse(field.schema, written.value)
    if (result.success) return this.#located(field, result.output)
    for (const issue of result.issues) {
      const index = v.getDotPath(issue)
      this.#report(written, written.place, index === null ? path : join(path, index), issue.message, `Write ${field.accepts}.`)
    }
    return field.default
  }

  #located(field: Field<unknown>, value: unknown): unknown {
    return field.type === 'path' && typeof value === 'string' ? resolve(this.#folder, value) : value
  }

  #report(written: Written, place: Place | undefined, path: string, reason: string, fix: string): void {
    this.#problems.push({ file: written.file, ...place, path, reason, fix })
  }
}

/** What no single field can see. */
const checkTogether = (config: CoreConfig, written: WrittenSection, problems: Problem[]): void => {
  const report = (keys: readonly string[], reason: string, fix: string): void => {
    const found = find(written, keys)
    problems.push({ file: found.file, ...found.place, path: keys.join('.'), reason, fix })
  }
  const { certificate, key } = config.tls
  if (certificate !== undefined && key === undefined)
    report(['tls', 'certificate'], 'a certificate needs its key', 'Write the path of the private key as tls.key.')
  if (key !== undefined && certificate === undefined)
    report(['tls', 'key'], 'a key needs its certificate', 'Write the path of the certificate as tls.certificate.')
  const { driver, url } = config.store
  if (driver === 'mongodb' && url === undefined)
    report(['store', 'driver'], 'mongodb needs an address', 'Write where the database is as store.url.')
  const { redis, node } = config.cluster
  if (redis !== undefined && driver !== 'mongodb')
    report(
      ['cluster', 'redis'],
      'several nodes need a database that all of them reach',
      'Write store.driver: mongodb, and its address as store.url.',
    )
  if (redis !== undefined && config.workers > 1)
    report(
      ['workers'],
      'several processes of one machine are nodes of their own in a fleet',
      'Leave workers out, and start each as a node with a name and ports of its own.',
    )
  if (node !== undefined && redis === undefined)
    report(
      ['cluster', 'node'],
      'a node needs the Redis by which it finds the others',
      'Write its address as cluster.redis, or leave this out.',
    )
  const { c2s, tls, http, https, admin } = config.listen
  const taken = new Map<number, string>()
  for (const [name, port] of Object.entries({ c2s, tls, http, https, admin })) {
    if (port === 'off' || port === 0) continue
    const other = taken.get(port)
    if (other !== undefined) report(['listen', name], `port ${port} is listen.${other} already`, 'Write another port.')
    taken.set(port, name)
  }
}

const find = (written: WrittenSection, [key = '', ...rest]: readonly string[]): Written => {
  const inner = written.entries.get(key)?.written
  if (inner === undefined) return written
  return inner.kind === 'section' && rest.length > 0 ? find(inner, rest) : inner
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`)

const suggestion = (key: string, known: readonly string[]): string => {
  const nearest = known
    .map((each) => ({ each, distance: editDistance(key.toLowerCase(), each.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  if (nearest === undefined) return 'Remove it.'
  if (nearest.distance <= Math.max(1, Math.floor(key.length / 3))) return `Did you mean ${nearest.each}?`
  return `Remove it, or write one of ${known.join(', ')}.`
}

/** How many letters must be added, removed, changed or swapped with their neighbour (optimal string alignment). */
const editDistance = (from: string, to: string): number => {
  let before: readonly number[] = []
  let row: readonly number[] = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (let j = 1; j <= to.length; j++) {
      const change = (row[j - 1] ?? 0) + (to[j - 1] === letter ? 0 : 1)
      const isSwapped = letter === to[j - 2] && from[i - 1] === to[j - 1]
      const swap = isSwapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[to.length] ?? 0
}
