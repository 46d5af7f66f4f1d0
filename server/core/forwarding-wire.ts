import { type Wire, wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'

/** What stands before a message that another node answers. */
export interface MessageHead {
  /** By which it is answered. */
  readonly number: number
  /** Whether the sender's account remembers it, too. */
  readonly isKeptBySender: boolean
  /** It was sent before, to a node that was lost: it may be in the log, behind this entry. */
  readonly isBehind: LogId | undefined
  /** The last id that the sender's node knew of, where that changed since it sent a message there. */
  readonly lastId: LogId | undefined
}

const KEPT_BY_SENDER = 1
const BEHIND = 2
const LAST_ID = 4
/** Numbers have seven bytes, as much as is safe. */
const NUMBER_BYTES = 7
const HIGH = 2 ** 32

/** A byte of flags, then numbers: its own, and those that the flags name. */
export const encodeHead = ({ number, isKeptBySender, isBehind, lastId }: MessageHead): string => {
  const flags =
    (isKeptBySender ? KEPT_BY_SENDER : 0) | (isBehind === undefined ? 0 : BEHIND) | (lastId === undefined ? 0 : LAST_ID)
  let head = String.fromCharCode(flags) + encodeNumber(number)
  if (isBehind !== undefined) head += encodeNumber(isBehind)
  if (lastId !== undefined) head += encodeNumber(lastId)
  return head
}

/** The head of a message, and the message behind it. */
export const readHead = (payload: Wire): MessageHead & { readonly message: Wire } => {
  const flags = payload.charCodeAt(0)
  let at = 1 + NUMBER_BYTES
  let isBehind: LogId | undefined
  let lastId: LogId | undefined
  if ((flags & BEHIND) !== 0) {
    isBehind = numberAt(payload, at)
    at += NUMBER_BYTES
  }
  if ((flags & LAST_ID) !== 0) {
    lastId = numberAt(payload, at)
    at += NUMBER_BYTES
  }
  const isKeptBySender = (flags & KEPT_BY_SENDER) !== 0
  return { number: numberAt(payload, 1), isKeptBySender, isBehind, lastId, message: wire(payload.slice(at)) }
}

const encodeNumber = (value: number): string => {
  const high = Math.floor(value / HIGH)
  return String.fromCharCode(
    (high >>> 16) & 255,
    (high >>> 8) & 255,
    high & 255,
    value >>> 24,
    (value >>> 16) & 255,
    (value >>> 8) & 255,
    value & 255,
  )
}

const numberAt = (payload: Wire, at: number): number => {
  const high = (payload.charCodeAt(at) << 16) | (payload.charCodeAt(at + 1) << 8) | payload.charCodeAt(at + 2)
  const low =
    (payload.charCodeAt(at + 3) << 24) |
    (payload.charCodeAt(at + 4) << 16) |
    (payload.charCodeAt(at + 5) << 8) |
    payload.charCodeAt(at + 6)
  return high * HIGH + (low >>> 0)
}

/**
 * Answers to messages that went well, by their numbers; each has a byte that says what it is, and two numbers.
 * `DONE`: those from the first to the second. `STORED`: the first is in the ledger, where the second says.
 */
export class Answers {
  #answers = ''
  #from = 0
  #to = 0

  add(number: number, id: LogId | undefined): void {
    if (id === undefined && this.#to !== 0 && number === this.#to + 1) {
      this.#to = number
      return
    }
    this.#endRun()
    if (id !== undefined) this.#answers += STORED + encodeNumber(number) + encodeNumber(id)
    else {
      this.#from = number
      this.#to = number
    }
  }

  /** All that was added since the last time. */
  take(): Wire {
    this.#endRun()
    const answers = wire(this.#answers)
    this.#answers = ''
    return answers
  }

  #endRun(): void {
    if (this.#to !== 0) this.#answers += DONE + encodeNumber(this.#from) + encodeNumber(this.#to)
    this.#to = 0
  }
}

const DONE = 'd'
const STORED = 's'
const ANSWER_BYTES = 1 + 2 * NUMBER_BYTES

/** Calls back for each message that answers are about. */
export const readAnswers = (answers: Wire, take: (number: number, id: LogId | undefined) => void): void => {
  for (let at = 0; at < answers.length; at += ANSWER_BYTES) {
    const first = numberAt(answers, at + 1)
    const second = numberAt(answers, at + 1 + NUMBER_BYTES)
    if (answers.charAt(at) === STORED) take(first, second)
    else for (let number = first; number <= second; number++) take(number, undefined)
  }
}
