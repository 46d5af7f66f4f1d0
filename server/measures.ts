import type { CommitObserver } from '#storage/driver.ts'
import type { Clock } from './base/clock.ts'
import type { Metrics } from './base/metrics.ts'
import type { Accounts } from './core/accounts.ts'
import type { Delivery } from './core/delivery.ts'
import type { IqDispatch } from './core/iq.ts'
import type { Ledger } from './core/ledger.ts'
import type { LoginThrottle } from './core/login-throttle.ts'
import type { PendingLimit } from './core/pending-limit.ts'
import type { RetentionSweep } from './core/retention.ts'
import type { Sessions } from './core/sessions.ts'
import type { Fleet } from './fleet.ts'
import type { Records } from './stream/features/recording.ts'
import type { SessionLife } from './stream/session-life.ts'

/** The parts of a server that count for themselves, so that an event costs them one addition. */
export interface Measured {
  readonly sessions: Sessions
  readonly accounts: Accounts
  readonly ledger: Ledger
  readonly pendingLimit: PendingLimit
  readonly delivery: Delivery
  readonly iq: IqDispatch
  readonly life: SessionLife
  readonly throttle: LoginThrottle | undefined
  readonly sweep: RetentionSweep
  /** `undefined` for a server of one process: then there is nothing to count. */
  readonly fleet: Fleet | undefined
  readonly records: Records | undefined
}

/** Stanzas by kind. */
export interface KindCounts {
  message: number
  presence: number
  iq: number
}

/** The counts that stanzas pass. */
export const stanzaCounts = (metrics: Metrics): { readonly received: KindCounts; readonly sent: KindCounts } => {
  const counts = { received: { message: 0, presence: 0, iq: 0 }, sent: { message: 0, presence: 0, iq: 0 } }
  for (const kind of ['message', 'presence', 'iq'] as const) {
    metrics.total('stanzas_received_total', 'Stanzas that clients sent.', () => counts.received[kind], { kind })
    metrics.total(
      'stanzas_sent_total',
      'Stanzas for clients, also those that are held back from inactive ones.',
      () => counts.sent[kind],
      { kind },
    )
  }
  return counts
}

/** Tells the metrics where the numbers of a server are; docs/metrics.md says what they mean. */
export const measure = (metrics: Metrics, parts: Measured): void => {
  measureMessages(metrics, parts)
  measureSessions(metrics, parts)
  measureLogins(metrics, parts)
  measureHomes(metrics, parts)
  measureTraffic(metrics, parts)
}

const measureMessages = (metrics: Metrics, { ledger, pendingLimit, delivery, sweep }: Measured): void => {
  metrics.total('messages_kept_total', 'Messages that were recorded in the ledger.', () => ledger.counts.kept)
  metrics.total('messages_taken_total', 'Kept messages that a device acknowledged.', () => ledger.counts.taken)
  metrics.total('messages_delivered_total', 'Copies for sessions, as they came or from the ledger.', () => delivery.counts.live, {
    when: 'live',
  })
  metrics.total('messages_delivered_total', 'Copies for sessions, as they came or from the ledger.', () => delivery.counts.late, {
    when: 'late',
  })
  metrics.total(
    'messages_over_limit_total',
    'Messages that were refused because too much waits for the account.',
    () => pendingLimit.refused,
  )
  metrics.total('messages_expired_total', 'Ledger entries that were removed because their time was over.', () => sweep.expired)
}

const measureSessions = (metrics: Metrics, { sessions, life, iq }: Measured): void => {
  const { streamManagement: managed, counts } = life
  const catchingUp = (): number => {
    let count = 0
    for (const session of sessions.all()) if (session.isCatchingUp && session.isWilling && session.outlet.isAttached) count++
    return count
  }
  metrics.gauge('sessions', 'Bound sessions.', () => sessions.count)
  metrics.gauge('sessions_detached', 'Sessions that wait for their client to resume them.', () => life.detached)
  metrics.gauge('sessions_lagging', 'Sessions whose client does not read.', () => life.lagging)
  metrics.gauge('sessions_catching_up', 'Connected sessions that read from the ledger what they have missed.', catchingUp)
  metrics.total('sessions_started_total', 'Sessions that were bound.', () => counts.started)
  metrics.total('sessions_ended_total', 'Sessions that ended.', () => counts.ended)
  metrics.total('sessions_stalled_total', 'Connections that were closed because the client did not read.', () => counts.stalled)
  metrics.total('sessions_refused_total', 'Sessions that were refused because the account had too many.', () => counts.refused)
  metrics.total('resumes_total', 'Requests to resume a session.', () => managed.counts.resumed, { result: 'resumed' })
  metrics.total('resumes_total', 'Requests to resume a session.', () => managed.counts.refused, { result: 'refused' })
  metrics.total('stanzas_resent_total', 'Stanzas that were sent again after a resume.', () => managed.counts.resent)
  metrics.gauge('questions', 'Requests of the server that clients have not answered.', () => iq.questions)
}

const measureLogins = (metrics: Metrics, { accounts, throttle }: Measured): void => {
  for (const by of ['address', 'account'] as const)
    metrics.total(
      'logins_throttled_total',
      'Attempts to log in that were not let in after too many failures.',
      () => throttle?.counts[by] ?? 0,
      { by },
    )
  metrics.gauge('login_throttle_entries', 'Addresses and accounts whose logins are remembered.', () => throttle?.size ?? 0)
  metrics.gauge('passwords_waiting', 'Passwords that are being checked or wait for it.', () => accounts.passwords.waiting)
  metrics.total(
    'passwords_refused_total',
    'Passwords that were not checked because too many waited.',
    () => accounts.passwords.refused,
  )
}

const measureHomes = (metrics: Metrics, { fleet, life, records }: Measured): void => {
  const residence = fleet?.residence
  metrics.gauge('homes', 'Accounts and services that are at home in this process.', () => residence?.size ?? 0)
  metrics.gauge('homes_coming', 'Addresses that are about to be at home here.', () => residence?.coming ?? 0)
  metrics.gauge('homes_going', 'Addresses that are being given up.', () => residence?.going ?? 0)
  metrics.total('homes_came_total', 'Addresses that became at home here.', () => residence?.counts.came ?? 0)
  metrics.total('homes_left_total', 'Addresses that left.', () => residence?.counts.left ?? 0)
  metrics.total('sessions_revived_total', 'Sessions that another process had before.', () => life.counts.revived)
  metrics.total(
    'session_records_late_total',
    'Times the store was too slow for the record of a session.',
    () => records?.counts.late ?? 0,
  )
}

const measureTraffic = (metrics: Metrics, { fleet }: Measured): void => {
  const relayed = 'Connections whose client is at one process while the home of its account is another.'
  metrics.gauge('connections_relayed', relayed, () => fleet?.houses.relays ?? 0, { client: 'here' })
  metrics.gauge('connections_relayed', relayed, () => fleet?.houses.lines ?? 0, { client: 'elsewhere' })
  metrics.total('stanzas_forwarded_total', 'Stanzas for other homes.', () => fleet?.forwarding.counts.sent ?? 0)
  metrics.total('stanzas_arrived_total', 'Stanzas from other homes.', () => fleet?.forwarding.counts.received ?? 0)
  metrics.total(
    'messages_repeated_total',
    'Messages that were sent again because their home was lost.',
    () => fleet?.forwarding.counts.repeated ?? 0,
  )
  metrics.total(
    'late_entries_sent_total',
    'Times a session was sent what a lost node had on its way to the store.',
    () => fleet?.late.counts.found ?? 0,
  )
  metrics.total(
    'late_entries_removed_total',
    'Messages of lost nodes that landed after they had been sent again.',
    () => fleet?.late.counts.repeated ?? 0,
  )
  metrics.gauge('messages_unanswered', 'Messages that other homes have not answered.', () => fleet?.forwarding.open ?? 0)
  metrics.gauge('bus_links', 'Processes that there is a link to.', () => fleet?.traffic().links ?? 0)
  metrics.gauge('bus_queued_bytes', 'Bytes that wait for other processes.', () => fleet?.traffic().queuedBytes ?? 0)
  metrics.total(
    'bus_refused_total',
    'What could not be sent, without a link or behind too much.',
    () => fleet?.traffic().refused ?? 0,
  )
  metrics.total('bus_links_lost_total', 'Links that broke.', () => fleet?.traffic().lost ?? 0)
  metrics.total('bus_malformed_total', 'Batches that nobody can read.', () => fleet?.traffic().malformed ?? 0)
}

const COMMIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
const COMMIT_OPERATIONS = [1, 4, 16, 64, 256, 1024, 4096]

/** Counts what the store writes. */
export const commitMeasures = (metrics: Metrics, clock: Clock): CommitObserver => {
  const seconds = metrics.histogram('store_commit_seconds', 'How long a commit took.', COMMIT_SECONDS)
  const size = metrics.histogram('store_commit_operations', 'Writes that one commit brought together.', COMMIT_OPERATIONS)
  const failed = metrics.counter('store_failures_total', 'Writes and reads that the store could not do.')
  return {
    monotonicMs: () => clock.monotonicMs(),
    onCommit({ operations, durationMs, failures }) {
      seconds.observe(durationMs / 1000)
      size.observe(operations)
      if (failures > 0) failed.add(failures)
    },
  }
}
