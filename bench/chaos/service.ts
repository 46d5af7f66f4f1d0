import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MongoClient } from 'mongodb'
import { endProcess, freePort, startProcess, waitForPort } from '../processes.ts'

/** What the nodes rest on: a process at a port of its own, which can be killed and started again with what it has on disk. */
export type Service = {
  readonly name: string
  readonly url: string
  /** Missing, when it is not ours. */
  readonly kill?: () => Promise<void>
  readonly start: () => Promise<void>
}

type Program = { readonly file: string; readonly args: (port: number, folder: string) => readonly string[] }

/** Starts Debian's Redis, which keeps nothing on disk. */
export const startRedis = (folder: string): Promise<Service> =>
  serve('Redis', folder, (port) => `redis://127.0.0.1:${port}`, {
    file: 'redis-server',
    args: (port, data) => [
      ...['--port', `${port}`, '--bind', '127.0.0.1', '--dir', data],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
    ],
  })

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'waxwing', 'mongodb')
const SECANTUS = join(CACHE, 'secantusdb', 'bin', 'secantusd-py')
const FERRET = join(CACHE, 'ferretdb')

/** Those that stand in for MongoDB; all of them keep what they acknowledged when they are killed. */
export const STAND_INS = ['memory', 'secantusdb', 'ferretdb'] as const
export type StandIn = (typeof STAND_INS)[number]

/** Starts the database that is asked for, else the one that is named in WAXWING_TEST_MONGODB_URL, else a `mongod`, else the bench's own. */
export const startDatabase = async (folder: string, wanted: StandIn | undefined): Promise<Service> => {
  const given = process.env.WAXWING_TEST_MONGODB_URL
  if (wanted === undefined && given !== undefined)
    return {
      name: 'the server of WAXWING_TEST_MONGODB_URL, which is not killed',
      url: given.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?/, `$1/waxwing-chaos-${process.pid}`),
      start: () => Promise.resolve(),
    }
  const mongod = findMongod()
  if (wanted !== undefined || mongod === undefined) return startStandIn(folder, wanted ?? 'memory')
  const database = await serve('mongod', folder, (port) => `${urlOf(port)}?replicaSet=rs0`, {
    file: mongod,
    args: (port, data) => ['--port', `${port}`, '--bind_ip', '127.0.0.1', '--dbpath', data, '--replSet', 'rs0'],
  })
  await initiate(database.url)
  return database
}

const startStandIn = (folder: string, wanted: StandIn): Promise<Service> => {
  switch (wanted) {
    case 'memory':
      return serve('a database in memory with a journal, standing in for MongoDB', folder, urlOf, {
        file: process.execPath,
        args: (port, data) => [join(import.meta.dirname, '../servers/memory-database.ts'), `${port}`, join(data, 'journal')],
      })
    case 'secantusdb':
      return serve('SecantusDB, standing in for MongoDB', folder, urlOf, {
        file: SECANTUS,
        args: (port, data) => ['--port', `${port}`, '--storage-path', data, '--log-level', 'WARNING'],
      })
    case 'ferretdb':
      return serve('FerretDB on SQLite, standing in for MongoDB', folder, urlOf, {
        file: FERRET,
        args: (port, data) => [
          ...['--handler=sqlite', `--sqlite-url=file:${data}/`, `--state-dir=${data}`, `--listen-addr=127.0.0.1:${port}`],
          ...['--telemetry=disable', '--debug-addr=-', '--log-level=error'],
        ],
      })
  }
}

const urlOf = (port: number): string => `mongodb://127.0.0.1:${port}/waxwing`

const findMongod = (): string | undefined =>
  process.env.PATH?.split(delimiter)
    .map((folder) => join(folder, 'mongod'))
    .find((file) => existsSync(file)) ??
  (existsSync(CACHE) ? readdirSync(CACHE) : []).filter((file) => file.startsWith('mongod-')).map((file) => join(CACHE, file))[0]

// A replica set of one: retried writes are known again only in a set.
const initiate = async (url: string): Promise<void> => {
  const client = new MongoClient(url.replace('?replicaSet=rs0', '?directConnection=true'))
  const admin = client.db('admin')
  await admin.command({ replSetInitiate: { _id: 'rs0', members: [{ _id: 0, host: new URL(url).host }] } })
  while (!(await admin.command({ hello: 1 })).isWritablePrimary) await sleep(100)
  await client.close()
}

const serve = async (
  name: string,
  folder: string,
  urlOf: (port: number) => string,
  { file, args }: Program,
): Promise<Service> => {
  const port = await freePort()
  const data = join(folder, name.split(/\W/)[0]?.toLowerCase() ?? name)
  mkdirSync(data, { recursive: true })
  const logFile = `${data}.log`
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    child = startProcess({ file, args: args(port, data), logFile })
    child.stdout?.resume()
    await waitForPort(port, child, logFile)
  }
  await start()
  return {
    name,
    url: urlOf(port),
    start,
    async kill() {
      if (child !== undefined) await endProcess(child, 'SIGKILL')
    },
  }
}
