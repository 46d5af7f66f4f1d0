import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { MongoMemoryReplSet } from 'mongodb-memory-server-core'
import { newId } from '#server/base/random.ts'

/** A server that speaks MongoDB's protocol, for tests. */
export interface MongoServer {
  /** Which one it is, with its version. */
  readonly name: string
  /** A URL of a database that nobody uses yet. */
  newUrl(): string
  /** Whether `explain` tells which index a query uses; for ranges of `_id`, and for all else. */
  readonly explains: { readonly ids: boolean; readonly others: boolean }
  /** The process, when the tests started one that they may kill. */
  readonly start?: () => Promise<void>
  readonly kill?: () => Promise<void>
  stop(): Promise<void>
}

/** Where conformance/install.sh puts the stand-ins: outside the tree, so that a fresh clone finds them. */
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'waxwing', 'mongodb')
const SECANTUS = join(CACHE, 'secantusdb', 'bin', 'secantusd-py')
const FERRET = join(CACHE, 'ferretdb')

const REAL = { explains: { ids: true, others: true } }

/** The server that tests use: the one that is named, else a `mongod`, else one that can be downloaded, else a stand-in; `undefined` when there is none at all. */
export const mongoServer = async (): Promise<MongoServer | undefined> => {
  const url = process.env.WAXWING_TEST_MONGODB_URL
  if (url !== undefined)
    return { ...REAL, name: 'the server of WAXWING_TEST_MONGODB_URL', newUrl: () => within(url), stop: async () => {} }
  const installed = process.env.PATH?.split(delimiter)
    .map((folder) => join(folder, 'mongod'))
    .find((file) => existsSync(file))
  if (installed !== undefined) return memoryServer({ systemBinary: installed, checkMD5: false })
  const downloaded = (await readdir(CACHE).catch(() => [])).find((file) => file.startsWith('mongod-'))
  if (downloaded !== undefined) return memoryServer({ systemBinary: join(CACHE, downloaded), checkMD5: false })
  if (existsSync(SECANTUS))
    return standIn('SecantusDB', { explains: { ids: false, others: true } }, SECANTUS, (folder, port) => [
      ...['--port', String(port), '--storage-path', folder, '--enable-test-commands'],
    ])
  return memoryServer({ downloadDir: CACHE }).catch(() => undefined)
}

/** The second opinion, where it is installed. */
export const ferretServer = async (): Promise<MongoServer | undefined> =>
  existsSync(FERRET)
    ? standIn('FerretDB', { explains: { ids: false, others: false } }, FERRET, (folder, port) => [
        ...['--handler=sqlite', `--sqlite-url=file:${folder}/`, `--state-dir=${folder}`, `--listen-addr=127.0.0.1:${port}`],
        ...['--telemetry=disable', '--debug-addr=-', '--log-level=info'],
      ])
    : undefined

const within = (url: string): string => {
  const [, server = url, options = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(url) ?? []
  return `${server}/waxwing-test-${newId()}${options}`
}

const memoryServer = async (binary: {
  readonly systemBinary?: string
  readonly checkMD5?: boolean
  readonly downloadDir?: string
}): Promise<MongoServer> => {
  const set = await MongoMemoryReplSet.create({ replSet: { count: 1, storageEngine: 'wiredTiger' }, binary })
  return {
    ...REAL,
    name: `mongod ${binary.systemBinary ?? 'by mongodb-memory-server'}`,
    newUrl: () => within(set.getUri()),
    stop: async () => void (await set.stop()),
  }
}

const standIn = async (
  name: string,
  abilities: Pick<MongoServer, 'explains'>,
  program: string,
  args: (folder: string, port: number) => readonly string[],
): Promise<MongoServer> => {
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-mongodb-'))
  let child: ChildProcess | undefined
  let port = 0
  const kill = async (): Promise<void> => {
    const running = child
    if (running === undefined) return
    child = undefined
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await gone
  }
  const start = async (): Promise<void> => {
    const running = spawn(program, args(folder, port), { stdio: ['ignore', 'pipe', 'pipe'] })
    child = running
    process.once('exit', () => running.kill('SIGKILL'))
    port = await listeningPort(running)
  }
  await start()
  return {
    ...abilities,
    name,
    newUrl: () => within(`mongodb://127.0.0.1:${port}`),
    start,
    kill,
    async stop() {
      await kill()
      await rm(folder, { recursive: true })
    },
  }
}

const listeningPort = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    let said = ''
    const hear = (chunk: Buffer) => {
      said += chunk.toString()
      const port = /listening on[^\n]*?127\.0\.0\.1:(\d+)/i.exec(said)?.[1]
      if (port !== undefined) resolve(Number(port))
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', () => reject(new Error(`the stand-in did not start: ${said}`)))
  })
