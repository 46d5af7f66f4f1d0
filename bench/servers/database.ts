import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { MongoMemoryReplSet } from 'mongodb-memory-server-core'
import { endProcess, freePort, makeFolder, startProcess, waitForPort } from '../processes.ts'

type Choice = { readonly name: string; readonly start: () => Promise<RunningDatabase> }

/** A server that speaks MongoDB's protocol. */
export type RunningDatabase = {
  readonly pid: number
  readonly urlOf: (database: string) => string
  readonly end: () => Promise<void>
}

/** Where conformance/install.sh puts them. */
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'waxwing', 'mongodb')
const IN_MEMORY = 'a stand-in in memory'
const SECANTUS = join(CACHE, 'secantusdb', 'bin', 'secantusd-py')
const FERRET = join(CACHE, 'ferretdb')

/**
 * A `mongod` where the tests would find one (storage/contract/mongodb-server.ts). Those that stand in for it in tests take milliseconds of a processor for a message, so only
 * WAXWING_BENCH_DATABASE=secantusdb or =ferretdb (=memory: ours) chooses them; otherwise it is one of our own that keeps nothing on disk.
 */
const choice = (): Choice => {
  const wanted = process.env.WAXWING_BENCH_DATABASE
  if (wanted === 'memory') return { name: IN_MEMORY, start: startMemory }
  if (wanted === 'ferretdb') return { name: 'FerretDB', start: startFerret }
  if (wanted === 'secantusdb') return { name: 'SecantusDB', start: startSecantus }
  const installed = process.env.PATH?.split(delimiter)
    .map((folder) => join(folder, 'mongod'))
    .find((file) => existsSync(file))
  const downloaded = existsSync(CACHE) ? readdirSync(CACHE).find((name) => name.startsWith('mongod-')) : undefined
  const binary = installed ?? (downloaded === undefined ? undefined : join(CACHE, downloaded))
  if (binary !== undefined) return { name: `mongod ${binary}`, start: () => startMongod(binary) }
  return { name: IN_MEMORY, start: startMemory }
}

/** Which one it is here: figures with a stand-in say nothing of MongoDB's own. */
export const databaseName = (): string => choice().name

/** Starts one of our own, which ends with the bench. */
export async function startDatabase(): Promise<RunningDatabase> {
  return choice().start()
}

async function startMongod(systemBinary: string): Promise<RunningDatabase> {
  const set = await MongoMemoryReplSet.create({
    replSet: { count: 1, storageEngine: 'wiredTiger' },
    binary: { systemBinary, checkMD5: false },
  })
  return {
    pid: set.servers[0]?.instanceInfo?.instance.mongodProcess?.pid ?? 0,
    urlOf: (database) => set.getUri(database),
    end: async () => void (await set.stop()),
  }
}

function startMemory(): Promise<RunningDatabase> {
  const program = join(import.meta.dirname, 'memory-database.ts')
  return startStandIn(process.execPath, (_, port) => [program, `${port}`])
}

function startSecantus(): Promise<RunningDatabase> {
  return startStandIn(SECANTUS, (folder, port) => ['--port', `${port}`, '--storage-path', folder])
}

function startFerret(): Promise<RunningDatabase> {
  return startStandIn(FERRET, (folder, port) => [
    ...['--handler=sqlite', `--sqlite-url=file:${folder}/`, `--state-dir=${folder}`, `--listen-addr=127.0.0.1:${port}`],
    ...['--telemetry=disable', '--debug-addr=-', '--log-level=error'],
  ])
}

async function startStandIn(file: string, argsOf: (folder: string, port: number) => readonly string[]): Promise<RunningDatabase> {
  const folder = makeFolder('database')
  const logFile = join(folder, 'bench.log')
  const port = await freePort()
  const child = startProcess({ file, args: argsOf(folder, port), logFile })
  child.stdout?.resume()
  await waitForPort(port, child, logFile)
  return {
    pid: child.pid ?? 0,
    urlOf: (database) => `mongodb://127.0.0.1:${port}/${database}`,
    end: () => endProcess(child, 'SIGKILL'),
  }
}
