import type { Measured } from './measured.ts'

/** What people do, and how much of a processor and of memory may be used. */
export type Usage = {
  readonly accounts: number
  /** Share of the accounts that are online at once, at the busiest hour. */
  readonly online: number
  /** Devices of an account that is online. */
  readonly devices: number
  /** Messages that an account sends a day, to one contact each; groups are left out. */
  readonly messagesPerDay: number
  /** The busiest second of a day by its average one. */
  readonly peak: number
  /** Contacts of an account that see its presence. */
  readonly contacts: number
  /** Times a day that a device logs in anew, so that its contacts hear of it; resuming a stream is not one. */
  readonly loginsPerDay: number
  /** Pages of fifty messages that a device reads with each login. */
  readonly pagesPerLogin: number
  /** Bytes of a message's stanza. */
  readonly stanzaBytes: number
  /** Share of connections with TLS that ends at the node. */
  readonly tls: number
  /** Share of a processor that is used at the peak, so that one node may die. */
  readonly utilization: number
  /** Memory of one node that connections may take, in GiB. */
  readonly nodeGib: number
  /** Milliseconds until a majority of the database has a commit: what comes meanwhile goes together. */
  readonly commitMs: number
  /** Documents a second that one shard of the database writes. It is not measured here: there was no MongoDB. */
  readonly shardWritesPerSecond: number
  /** Days that messages are kept. */
  readonly retentionDays: number
  /** Copies that a replica set keeps. */
  readonly replicas: number
}

/** What a year of the project's own people may do; every one can be said on the command line. */
export const DEFAULT_USAGE: Usage = {
  accounts: 1e5,
  online: 0.2,
  devices: 1.3,
  messagesPerDay: 40,
  peak: 3,
  contacts: 50,
  loginsPerDay: 4,
  pagesPerLogin: 1,
  stanzaBytes: 400,
  tls: 1,
  utilization: 0.6,
  nodeGib: 4,
  commitMs: 5,
  shardWritesPerSecond: 5_000,
  retentionDays: 365,
  replicas: 3,
}

/** What that takes. Rates are those of the busiest second. */
export type Plan = {
  readonly nodes: number
  readonly messagesPerSecond: number
  readonly loginsPerSecond: number
  readonly presencesPerSecond: number
  readonly sessions: number
  /** Processors of all nodes that are busy, and with what. */
  readonly cores: { readonly messages: number; readonly logins: number; readonly presence: number; readonly pages: number }
  readonly messageUs: number
  readonly hopsPerBatch: number
  readonly messagesPerCommit: number
  readonly memoryGib: number
  readonly redis: {
    readonly batchesPerSecond: number
    readonly scriptsPerSecond: number
    readonly cores: number
    readonly shards: number
  }
  readonly database: {
    readonly commandsPerSecond: number
    readonly documentsPerSecond: number
    readonly shards: number
    readonly gibPerDay: number
    readonly gibKept: number
  }
  /** Between nodes and Redis, both ways, in megabits a second. */
  readonly busMbit: number
  /** Links between nodes, in all. */
  readonly links: number
  /** What is used up, most of it first: 1 is all there can be. */
  readonly limits: readonly { readonly what: string; readonly used: number }[]
}

const SECONDS_A_DAY = 86_400
const GIB = 2 ** 30
const KIB_PER_GIB = 2 ** 20
/** Numbers of nodes in the ids of log entries (server/cluster/redis-scripts.ts). */
const NODE_NUMBERS = 256
/** A Redis runs scripts and publishes on one processor. */
const REDIS_UTILIZATION = 0.6
const MESSAGE_DOCUMENTS = 2

/** A cost that is paid once for several, and once for each. */
export type Batched = { readonly batch: number; readonly each: number }

/** What each costs when so many go together. */
export const costEach = ({ batch, each }: Batched, together: number): number => batch / together + each

/** The two parts of a cost, from what each costs alone and in a batch. */
export const batchedOf = (alone: number, together: { readonly count: number; readonly each: number }): Batched => {
  const batch = ((alone - together.each) * together.count) / (together.count - 1)
  return { batch, each: alone - batch }
}

/** How many go together when they come at such a rate and wait so long for each other; the first waits for nobody. */
export const togetherAt = (perSecond: number, ms: number): number => Math.max(1, (perSecond * ms) / 1000)

/** CPU of the nodes for one message, in µs. `crossing`: the share of messages that go from one node to another. */
export const messageUs = (
  measured: Measured,
  {
    crossing,
    hopsPerBatch,
    messagesPerCommit,
  }: { readonly crossing: number; readonly hopsPerBatch: number; readonly messagesPerCommit: number },
): number => {
  const { oneNode, twoNodes } = measured.clusterRows
  const store = (count: number): number => costEach(measured.store, count)
  // There and back: a kept message is answered when it is durable.
  const hops = (count: number): number => 2 * (costEach(measured.bus.sender, count) + costEach(measured.bus.receiver, count))
  const local = oneNode.us - store(oneNode.messagesPerCommit)
  const secondHome = twoNodes.us - local - store(twoNodes.messagesPerCommit) - hops(twoNodes.hopsPerBatch)
  return local + store(messagesPerCommit) + crossing * (secondHome + hops(hopsPerBatch))
}

/** CPU for a presence, or anything else that nobody keeps, to somebody at another node, in µs. */
export const bareUs = (measured: Measured, crossing: number, hopsPerBatch: number): number => {
  const { oneNode, twoNodes } = measured.bareRows
  const hop = (count: number): number => costEach(measured.bus.sender, count) + costEach(measured.bus.receiver, count)
  return oneNode.us + crossing * (twoNodes.us - oneNode.us - hop(twoNodes.hopsPerBatch) + hop(hopsPerBatch))
}

/** What the usage takes. The number of nodes decides what crosses and what goes together, so it is looked for until it fits. */
export const planFor = (usage: Usage, measured: Measured): Plan => {
  let nodes = 1
  for (let tries = 0; tries < 1_000; tries++) {
    const plan = planWith(usage, measured, nodes)
    const cores = Object.values(plan.cores).reduce((sum, each) => sum + each, 0)
    const wanted = Math.max(1, Math.ceil(cores / usage.utilization), Math.ceil(plan.memoryGib / usage.nodeGib))
    if (wanted <= nodes) return plan
    nodes = Math.max(nodes + 1, Math.min(wanted, nodes * 2))
  }
  throw new Error('no number of nodes is enough')
}

const planWith = (usage: Usage, measured: Measured, nodes: number): Plan => {
  const { accounts, online, devices, peak, commitMs, tls } = usage
  const atPeak = (perDay: number): number => (perDay * peak) / SECONDS_A_DAY
  const sessions = accounts * online * devices
  const messagesPerSecond = atPeak(accounts * usage.messagesPerDay)
  const loginsPerSecond = atPeak(accounts * devices * usage.loginsPerDay)
  // Both sides hear of each other when one comes, and one of them when it goes.
  const presencesPerSecond = loginsPerSecond * usage.contacts * online * devices * 3
  const crossing = (nodes - 1) / nodes
  const hopsPerSecond = (2 * messagesPerSecond + presencesPerSecond) * crossing
  const links = nodes * (nodes - 1)
  const hopsPerBatch = links === 0 ? 1 : togetherAt(hopsPerSecond / links, commitMs)
  const messagesPerCommit = togetherAt(messagesPerSecond / nodes, commitMs)
  // A message goes to every device of its recipient, and to the sender's others.
  const copies = devices + (devices - 1)
  const each =
    messageUs(measured, { crossing, hopsPerBatch, messagesPerCommit }) +
    (copies - 1) * measured.copyUs +
    tls * (copies + 1) * measured.tlsUs
  const loginUs = measured.loginUs + measured.loginFinds * measured.store.batch + 2 * measured.claimUs
  const cores = {
    messages: (messagesPerSecond * each) / 1e6,
    logins: (loginsPerSecond * loginUs) / 1e6,
    presence: (presencesPerSecond * (bareUs(measured, crossing, hopsPerBatch) + tls * measured.tlsUs)) / 1e6,
    pages: (loginsPerSecond * usage.pagesPerLogin * measured.pageUs) / 1e6,
  }
  const memoryGib = (sessions * (tls * measured.tlsKib + (1 - tls) * measured.plainKib)) / KIB_PER_GIB
  const batchesPerSecond = hopsPerSecond / hopsPerBatch
  const scriptsPerSecond = 2 * loginsPerSecond + nodes
  const redisCores = (hopsPerSecond * costEach(measured.bus.redis, hopsPerBatch) + scriptsPerSecond * measured.claimRedisUs) / 1e6
  const redisShards = Math.max(1, Math.ceil(redisCores / REDIS_UTILIZATION))
  const commits = (messagesPerSecond / messagesPerCommit) * measured.commandsPerCommit
  // A message is inserted for two accounts, and its mark is taken off one of them.
  const documentsPerSecond = messagesPerSecond * (MESSAGE_DOCUMENTS + 1)
  const bytesKept = accounts * usage.messagesPerDay * MESSAGE_DOCUMENTS * (usage.stanzaBytes + measured.documentBytes)
  const gibPerDay = (bytesKept * usage.replicas) / GIB
  const shards = Math.max(1, Math.ceil(documentsPerSecond / usage.shardWritesPerSecond))
  const busBytes = hopsPerSecond * measured.frameBytes + (messagesPerSecond + presencesPerSecond) * crossing * usage.stanzaBytes
  const busiest = Object.values(cores).reduce((sum, used) => sum + used, 0) / nodes
  return {
    ...{ nodes, messagesPerSecond, loginsPerSecond, presencesPerSecond, sessions, cores, messageUs: each, hopsPerBatch },
    ...{ messagesPerCommit, memoryGib, links },
    redis: { batchesPerSecond, scriptsPerSecond, cores: redisCores, shards: redisShards },
    database: {
      commandsPerSecond: commits + loginsPerSecond * (measured.loginFinds + usage.pagesPerLogin),
      documentsPerSecond,
      shards,
      gibPerDay,
      gibKept: gibPerDay * usage.retentionDays,
    },
    // Everything goes to Redis and from it.
    busMbit: (2 * busBytes * 8) / 1e6,
    limits: [
      { what: 'node numbers in log ids', used: nodes / NODE_NUMBERS },
      { what: 'one Redis for bus and directory', used: redisCores / REDIS_UTILIZATION },
      { what: 'one shard of the database', used: documentsPerSecond / usage.shardWritesPerSecond },
      { what: "a node's processor", used: busiest / usage.utilization },
      { what: "a node's memory", used: memoryGib / nodes / usage.nodeGib },
    ].toSorted((a, b) => b.used - a.used),
  }
}
