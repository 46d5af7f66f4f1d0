import type { Books, Copy, Message } from './books.ts'
import type { DevicePlan } from './population.ts'

/** One broken promise, with what is needed to find out why. */
export type Violation = {
  readonly promise: keyof typeof PROMISES
  readonly what: string
  readonly message?: Message
  /** The one that it came behind. */
  readonly after?: Message
}

/** What is promised; each must have been broken 0 times. */
export const PROMISES = {
  lost: 'acknowledged messages lost',
  undelivered: 'acknowledged messages that only the archive has, of accounts whose devices all resume',
  disorder: 'messages behind a later one of the same sender',
  doubled: 'doubles within a session, resumed or not',
  'stored-twice': 'doubles of what a client sent again: another copy with another stanza-id',
  'archived-twice': 'doubles in an archive of what a client with XEP-0198 sent',
  'archive-disorder': 'messages archived behind a later one of the same sender',
  unacknowledged: 'messages of clients that are back, and not acknowledged',
  'not-back': 'clients that are not online at the end',
  'node-ended': 'nodes that ended when nobody had told them to',
  'broken-rule': 'counts and stanzas that make no sense',
} as const

/** What a run came to. */
export type Verdict = {
  readonly violations: readonly Violation[]
  /** What is looked at and not promised. */
  readonly notes: Readonly<Record<string, number>>
}

/** What is known at the end beside the books. */
export type End = {
  readonly books: Books
  readonly plans: readonly DevicePlan[]
  /** The ids of the messages in each account's archive, in its order. */
  readonly archives: ReadonlyMap<string, readonly string[]>
  /** Sessions of each device that began because the one before could not be resumed. */
  readonly refusedSessions: ReadonlyMap<string, ReadonlySet<number>>
  /** Everything else that was noticed. */
  readonly others: readonly Violation[]
}

/** Judges a run by what its clients remember. */
export const judge = ({ books, plans, archives, refusedSessions, others }: End): Verdict => {
  const byName = new Map(plans.map((plan) => [plan.name, plan]))
  const allResume = (account: string) => plans.every((plan) => plan.account !== account || plan.resumes)
  const violations: Violation[] = [...others]
  const notes = {
    'refused with an error': 0,
    'refused, and delivered all the same': 0,
    'never acknowledged, and delivered': 0,
    'never acknowledged, and not delivered': 0,
    'doubles after a refused resumption (same stanza-id)': 0,
    'doubles after a new session of another reason (same stanza-id)': 0,
    'doubles to clients without XEP-0198 (same stanza-id)': 0,
    'doubles of what clients without XEP-0198 sent again (another stanza-id)': 0,
    'archived twice, sent again by clients without XEP-0198': 0,
    'only in the archive, for accounts with clients without XEP-0198': 0,
    'answered by a pong and nowhere, sent without XEP-0198': 0,
  }

  const archived = new Map([...archives].map(([account, ids]) => [account, new Set(ids)]))
  for (const message of books.messages) {
    const isSeen = message.copies.length > 0
    const isArchived = archived.get(message.to)?.has(message.id) === true
    if (message.refused !== undefined) {
      notes['refused with an error']++
      if (isSeen || isArchived) notes['refused, and delivered all the same']++
    } else if (message.ackedAtMs === undefined) {
      notes[isSeen || isArchived ? 'never acknowledged, and delivered' : 'never acknowledged, and not delivered']++
    } else if (!isSeen && !isArchived) {
      if (message.from.resumes) violations.push({ promise: 'lost', what: 'nowhere', message })
      else notes['answered by a pong and nowhere, sent without XEP-0198']++
    } else if (!isSeen) {
      if (allResume(message.to)) violations.push({ promise: 'undelivered', what: 'in the archive only', message })
      else notes['only in the archive, for accounts with clients without XEP-0198']++
    }
    for (const { first, again } of doublesOf(message)) {
      const isSame = first.stanzaId !== undefined && first.stanzaId === again.stanzaId
      if (!isSame && message.from.resumes) {
        violations.push({
          promise: 'stored-twice',
          what: `at ${again.device} as ${first.stanzaId} and ${again.stanzaId}`,
          message,
        })
      } else if (!isSame) notes['doubles of what clients without XEP-0198 sent again (another stanza-id)']++
      else if (byName.get(again.device)?.resumes !== true) notes['doubles to clients without XEP-0198 (same stanza-id)']++
      else if (first.session === again.session) {
        violations.push({ promise: 'doubled', what: `at ${again.device} in session ${again.session}`, message })
      } else if (refusedSessions.get(again.device)?.has(again.session)) {
        notes['doubles after a refused resumption (same stanza-id)']++
      } else notes['doubles after a new session of another reason (same stanza-id)']++
    }
  }

  for (const { device, message, after } of books.disorders)
    violations.push({ promise: 'disorder', what: `at ${device}, behind ${after.id}`, message, after })
  for (const [account, ids] of archives) judgeArchive(account, ids, books, violations, notes)
  return { violations, notes }
}

const doublesOf = ({ copies }: Message): readonly { readonly first: Copy; readonly again: Copy }[] =>
  copies.flatMap((again, at) => {
    const first = copies.slice(0, at).find(({ device }) => device === again.device)
    return first === undefined ? [] : [{ first, again }]
  })

const judgeArchive = (
  account: string,
  ids: readonly string[],
  books: Books,
  violations: Violation[],
  notes: { 'archived twice, sent again by clients without XEP-0198': number },
): void => {
  const seen = new Set<string>()
  const latest = new Map<string, Message>()
  for (const id of ids) {
    const message = books.find(id)
    if (message === undefined) continue
    if (seen.has(id)) {
      if (message.from.resumes) violations.push({ promise: 'archived-twice', what: `in the archive of ${account}`, message })
      else notes['archived twice, sent again by clients without XEP-0198']++
      continue
    }
    seen.add(id)
    const way = `${message.from.name}>${message.to}`
    const before = latest.get(way)
    if (before !== undefined && before.sequence > message.sequence)
      violations.push({
        promise: 'archive-disorder',
        what: `in the archive of ${account}, behind ${before.id}`,
        message,
        after: before,
      })
    else latest.set(way, message)
  }
}
