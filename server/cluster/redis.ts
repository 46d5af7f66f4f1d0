import { Redis as Client, Cluster, type ClusterOptions } from 'ioredis'
import { hexDigest } from '#server/base/digest.ts'
import { HomesError } from '#server/core/homes.ts'

/** A Lua program that Redis runs in one step. */
export interface Script {
  readonly name: string
  readonly source: string
}

/** What the fleet needs of Redis; the only way to it. Nothing is sent twice, and nothing waits for a connection that is not there: it fails instead. */
export interface Redis {
  /** One server, or a cluster of them, in which each key lives on another. */
  readonly isCluster: boolean
  run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown>
  /** Answers how many there were to take it. */
  publish(channel: string, bytes: Buffer): Promise<number>
  /** Takes what is published on a channel, also after Redis was away. */
  subscribe(channel: string, take: (bytes: Buffer) => void): Promise<void>
  /** Connections are there again, with their subscriptions. */
  onUp(handler: () => void): void
  /** A connection has ended: what was under way may be lost. */
  onDown(handler: () => void): void
  /** Makes the connections anew, when one of them looks dead. */
  reconnect(): void
  close(): Promise<void>
}

/** Sharded publishing begins with 7.0. */
const OLDEST_MAJOR = 7
/** A server that has not answered by then is not there; shorter than a lease, which is renewed several times while it lasts. */
const COMMAND_MS = 2_000
const CONNECT_MS = 5_000
const MAX_RETRY_MS = 1_000

/** Connects to a Redis or a Redis Cluster (it says itself which it is), and looks at its version; rejects with `HomesError`. */
export const connectRedis = async (url: string): Promise<Redis> => {
  const options = optionsOf(url)
  const client = new Client({ ...options, retryStrategy: () => null })
  let cause: unknown
  client.on('error', (error) => (cause = error))
  try {
    await client.connect()
    const info = await client.info()
    const version = /redis_version:(\d+)\.(\S+)/.exec(info)
    if (Number(version?.[1] ?? 0) < OLDEST_MAJOR)
      throw new HomesError('unusable', `this Redis is too old (${version?.[1]}.${version?.[2]}): it has to be 7.0 or newer`)
    const isCluster = /cluster_enabled:1/.test(info)
    const redis = new RedisConnections(options, isCluster)
    await redis.open()
    return redis
  } catch (error) {
    if (error instanceof HomesError) throw error
    const { why, isRefusal } = reasonOf(cause ?? error)
    throw new HomesError(isRefusal ? 'unusable' : 'unavailable', `Redis at ${options.host}:${options.port}: ${why}`)
  } finally {
    client.disconnect()
  }
}

/** In words, and whether somebody has to do something first. */
const reasonOf = (error: unknown): { readonly why: string; readonly isRefusal: boolean } => {
  const why = error instanceof Error ? error.message : 'it failed'
  if (/WRONGPASS|NOAUTH|invalid password/i.test(why))
    return { why: 'it refuses the name and password in cluster.redis', isRefusal: true }
  return { why, isRefusal: /NOPERM/.test(why) }
}

const optionsOf = (text: string) => {
  if (!URL.canParse(text) || !/^rediss?:\/\//.test(text))
    throw new HomesError('unusable', 'cluster.redis is not an address such as redis://localhost:6379')
  const url = new URL(text)
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
    ...(url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    lazyConnect: true,
    enableReadyCheck: true,
    // What is not answered may have been done: nobody but the caller knows whether it may be done again.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
    retryStrategy: (times: number) => Math.min(times * 50, MAX_RETRY_MS),
  }
}

class RedisConnections implements Redis {
  readonly isCluster: boolean
  readonly #commands: Client | Cluster
  /** In a cluster the client holds these connections itself. */
  readonly #subscriber: Client | Cluster
  readonly #takers = new Map<string, (bytes: Buffer) => void>()
  readonly #digests = new Map<Script, string>()
  readonly #onUp: (() => void)[] = []
  readonly #onDown: (() => void)[] = []
  #isClosed = false

  constructor(options: ReturnType<typeof optionsOf>, isCluster: boolean) {
    this.isCluster = isCluster
    if (isCluster) {
      const { host, port, retryStrategy: _retryStrategy, db: _db, ...redisOptions } = options
      this.#commands = new Cluster([{ host, port }], { ...CLUSTER, redisOptions })
      this.#subscriber = this.#commands
    } else {
      this.#commands = new Client(options)
      this.#subscriber = new Client(options)
    }
  }

  async open(): Promise<void> {
    const clients = new Set([this.#commands, this.#subscriber])
    for (const client of clients) client.on('error', () => {})
    try {
      await Promise.all([...clients].map((client) => client.connect()))
    } catch (error) {
      await this.close()
      throw error
    }
    this.#subscriber.on('smessageBuffer', (channel: Buffer, bytes: Buffer) => this.#takers.get(channel.toString())?.(bytes))
    for (const client of clients) {
      client.on('close', () => this.#tell(this.#onDown))
      client.on('ready', () => void this.#ready())
    }
  }

  async run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const digest = this.#digests.get(script)
    try {
      if (digest !== undefined) return await this.#ask(this.#commands.evalsha(digest, keys.length, ...keys, ...args))
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    }
    // Redis remembers what it was given whole.
    this.#digests.set(script, hexDigest('sha1', Buffer.from(script.source)))
    return this.#ask(this.#commands.eval(script.source, keys.length, ...keys, ...args))
  }

  publish(channel: string, bytes: Buffer): Promise<number> {
    return this.#ask(this.#commands.spublish(channel, bytes)).then(Number)
  }

  async subscribe(channel: string, take: (bytes: Buffer) => void): Promise<void> {
    this.#takers.set(channel, take)
    await this.#subscriber.ssubscribe(channel)
  }

  onUp(handler: () => void): void {
    this.#onUp.push(handler)
  }

  onDown(handler: () => void): void {
    this.#onDown.push(handler)
  }

  reconnect(): void {
    if (this.#isClosed) return
    for (const client of [this.#commands, this.#subscriber])
      if (client instanceof Client && client.status === 'ready') client.disconnect(true)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    // Those who send nothing more wait for what they sent.
    if (this.#commands.status === 'ready') await this.#commands.quit().catch(() => {})
    this.#commands.disconnect()
    this.#subscriber.disconnect()
  }

  async #ready(): Promise<void> {
    if (this.#isClosed || this.#commands.status !== 'ready' || this.#subscriber.status !== 'ready') return
    try {
      for (const channel of this.#takers.keys()) await this.#subscriber.ssubscribe(channel)
    } catch {
      // It went away again; it will be ready once more.
      return
    }
    this.#tell(this.#onUp)
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer
    } catch (error) {
      // A connection that is open but dead takes minutes to be noticed by itself.
      if (error instanceof Error && error.message === 'Command timed out') this.reconnect()
      throw error
    }
  }

  #tell(handlers: readonly (() => void)[]): void {
    if (!this.#isClosed) for (const handler of handlers) handler()
  }
}

const CLUSTER: ClusterOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  shardedSubscribers: true,
  clusterRetryStrategy: (times) => Math.min(times * 50, MAX_RETRY_MS),
}
