import type { Batched } from './model.ts'
import { batchedOf } from './model.ts'

/** Where a figure comes from. */
export type Source = {
  readonly from: string
  readonly date: string
  /** `quiet`: nothing else ran. `busy`: other work ran beside it, so it is to be measured again. */
  readonly machine: 'quiet' | 'busy'
}

export type Figure = { readonly value: number; readonly unit: string; readonly source: Source }

/** What was measured, in the form that the model calculates with. CPU in µs, memory in KiB. */
export type Measured = {
  readonly clusterRows: {
    readonly oneNode: ClusterFigures
    readonly twoNodes: ClusterFigures
    readonly threeNodes: ClusterFigures
  }
  readonly bareRows: { readonly oneNode: ClusterFigures; readonly twoNodes: ClusterFigures; readonly threeNodes: ClusterFigures }
  /** The driver's part of a message, in the node. */
  readonly store: Batched
  readonly bus: { readonly sender: Batched; readonly receiver: Batched; readonly redis: Batched }
  readonly claimUs: number
  readonly claimRedisUs: number
  readonly loginUs: number
  /** Documents and logs that a login of somebody who was away for a while asks the database for. */
  readonly loginFinds: number
  readonly pageUs: number
  /** One more copy of what is there already. */
  readonly copyUs: number
  /** What TLS adds to each stanza that is read or written. */
  readonly tlsUs: number
  readonly plainKib: number
  readonly tlsKib: number
  readonly commandsPerCommit: number
  /** What a log entry has beside the stanza, with its place in the indexes. */
  readonly documentBytes: number
  /** What a hop has beside the stanza. */
  readonly frameBytes: number
}

export type ClusterFigures = { readonly us: number; readonly hopsPerBatch: number; readonly messagesPerCommit: number }

/** Two processors, 24 GiB, Node 24.21, Redis 7.0.15; the database is the bench's stand-in in memory. */
export const MACHINE = '2 processors, 24 GiB, Node 24.21.0, Redis 7.0.15'

const bus: Source = { from: 'bench/micro/bus.ts, decision 0013', date: '2026-11-22', machine: 'busy' }
const driver: Source = { from: 'bench/micro/mongodb.ts, decision 0011', date: '2026-11-21', machine: 'busy' }
const readme: Source = { from: 'README, medians of five runs', date: '2026-11-22', machine: 'quiet' }
const cluster: Source = {
  from: 'npm run bench -- --rows cluster-durable --accounts 400 --seconds 4, one run',
  date: '2026-11-22',
  machine: 'busy',
}
const bareRow: Source = {
  from: 'npm run bench -- --rows cluster-bare --accounts 200 --seconds 4, one run',
  date: '2026-11-22',
  machine: 'busy',
}
const counted: Source = { from: 'bench/capacity/operations.ts', date: '2026-11-22', machine: 'busy' }
const tlsRows: Source = {
  from: 'npm run bench -- --rows chat=,chat-tls --accounts 200, one run; a message is read once and written once',
  date: '2026-11-22',
  machine: 'busy',
}

const us = (value: number, source: Source): Figure => ({ value, unit: 'µs', source })
const count = (value: number, unit: string, source: Source): Figure => ({ value, unit, source })

/** Every input of the model that is not usage. */
export const FIGURES = {
  durableOneNode: us(38.3, cluster),
  durableTwoNodes: us(82.0, cluster),
  durableThreeNodes: us(85.8, cluster),
  durableTwoNodesHops: count(196, 'hops a batch', cluster),
  durableThreeNodesHops: count(117, 'hops a batch', cluster),
  durableOneNodeCommit: count(794, 'messages a commit', cluster),
  durableTwoNodesCommit: count(430, 'messages a commit', cluster),
  durableThreeNodesCommit: count(266, 'messages a commit', cluster),
  bareOneNode: us(6.5, bareRow),
  bareTwoNodes: us(13.9, bareRow),
  bareThreeNodes: us(17.7, bareRow),
  bareTwoNodesHops: count(132, 'hops a batch', bareRow),
  bareThreeNodesHops: count(77, 'hops a batch', bareRow),
  senderAlone: us(11.9, bus),
  senderTwenty: us(1.2, bus),
  receiverAlone: us(5.6, bus),
  receiverTwenty: us(0.6, bus),
  redisAlone: us(5.9, bus),
  redisTwenty: us(0.6, bus),
  claim: us(27, bus),
  claimRedis: us(14, bus),
  storeAlone: us(136, driver),
  storeHundred: us(8.1, driver),
  loginFast: us(380, readme),
  page: us(850, readme),
  eventCopy: us(3.8, readme),
  idlePlain: count(10, 'KiB', readme),
  idleTls: count(61.9, 'KiB', readme),
  tlsStanza: us(2.8, tlsRows),
  loginFinds: count(9, 'finds a login', counted),
  commandsPerCommit: count(3, 'commands a commit', counted),
  bytesToDatabase: count(1312, 'bytes a message, inserts and marks', counted),
  bytesToRedis: count(462, 'bytes a message, there and back', counted),
  countedStanza: count(280, 'bytes of a stanza in these counts', counted),
} satisfies Readonly<Record<string, Figure>>

const value = (name: keyof typeof FIGURES): number => FIGURES[name].value

/** The figures, as the model wants them. */
export const MEASURED: Measured = {
  clusterRows: {
    oneNode: { us: value('durableOneNode'), hopsPerBatch: 1, messagesPerCommit: value('durableOneNodeCommit') },
    twoNodes: {
      us: value('durableTwoNodes'),
      hopsPerBatch: value('durableTwoNodesHops'),
      messagesPerCommit: value('durableTwoNodesCommit'),
    },
    threeNodes: {
      us: value('durableThreeNodes'),
      hopsPerBatch: value('durableThreeNodesHops'),
      messagesPerCommit: value('durableThreeNodesCommit'),
    },
  },
  bareRows: {
    oneNode: { us: value('bareOneNode'), hopsPerBatch: 1, messagesPerCommit: 1 },
    twoNodes: { us: value('bareTwoNodes'), hopsPerBatch: value('bareTwoNodesHops'), messagesPerCommit: 1 },
    threeNodes: { us: value('bareThreeNodes'), hopsPerBatch: value('bareThreeNodesHops'), messagesPerCommit: 1 },
  },
  store: batchedOf(value('storeAlone'), { count: 100, each: value('storeHundred') }),
  bus: {
    sender: batchedOf(value('senderAlone'), { count: 20, each: value('senderTwenty') }),
    receiver: batchedOf(value('receiverAlone'), { count: 20, each: value('receiverTwenty') }),
    redis: batchedOf(value('redisAlone'), { count: 20, each: value('redisTwenty') }),
  },
  claimUs: value('claim'),
  claimRedisUs: value('claimRedis'),
  loginUs: value('loginFast'),
  loginFinds: value('loginFinds'),
  pageUs: value('page'),
  copyUs: value('eventCopy'),
  tlsUs: value('tlsStanza'),
  plainKib: value('idlePlain'),
  tlsKib: value('idleTls'),
  commandsPerCommit: value('commandsPerCommit'),
  // Two inserts and two marks make up what went to the database; what is beside the stanzas is taken for the entries' own.
  documentBytes: (value('bytesToDatabase') - 2 * value('countedStanza')) / 2,
  frameBytes: (value('bytesToRedis') - value('countedStanza')) / 2,
}
