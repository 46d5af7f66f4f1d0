import { MongoError, MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb'
import { StorageError } from '../storage-error.ts'

/**
 * What an error says about the write it ended: `unsent`: nothing reached a server. `unknown`: it may have been written, so it has to be sent again.
 * `refused`: the server answered, and another try will not help.
 */
export type Outcome = 'unsent' | 'unknown' | 'refused'

/** Codes of a server that is going, coming, or not the one that may write (MongoDB's list of retryable errors), and of majorities that did not answer in time. */
const PASSING = new Set([
  6, 7, 46, 50, 64, 89, 91, 112, 133, 134, 189, 202, 262, 317, 358, 384, 9001, 10107, 11600, 11602, 13435, 13436,
])
const OUT_OF_DISK_SPACE = 14_031
const AUTHENTICATION_FAILED = 18
const UNAUTHORIZED = 13
/** Index options and commands that a server of another make does not have. */
const NOT_IMPLEMENTED = 238
const DUPLICATE_KEY = 11_000

const codeOf = (error: unknown): number | undefined =>
  error instanceof MongoServerError && typeof error.code === 'number' ? error.code : undefined

/** What became of a write that ended with this error. */
export const outcomeOf = (error: unknown): Outcome => {
  if (error instanceof MongoServerSelectionError) return 'unsent'
  if (error instanceof MongoNetworkError) return 'unknown'
  const code = codeOf(error)
  if (code !== undefined && (PASSING.has(code) || code === OUT_OF_DISK_SPACE)) return 'unknown'
  if (
    error instanceof MongoError &&
    (error.hasErrorLabel('RetryableWriteError') || /Timeout|PoolCleared|Topology/.test(error.name))
  )
    return 'unknown'
  return 'refused'
}

export const isDuplicate = (error: unknown): boolean => codeOf(error) === DUPLICATE_KEY

export const isNotImplemented = (error: unknown): boolean => codeOf(error) === NOT_IMPLEMENTED

/** Says what went wrong in words an operator can act on. The driver's own texts name hosts, and never the password. */
export const storageErrorOf = (error: unknown): StorageError => {
  if (error instanceof StorageError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new StorageError(`${explanationOf(error)}: ${text}`, { isTransient: isPassing(error), cause: error })
}

const explanationOf = (error: unknown): string => {
  const code = codeOf(error)
  if (isWrongLogin(error)) return 'MongoDB does not accept the name and password in store.url'
  if (code === UNAUTHORIZED) return 'MongoDB does not let this account use the database; it needs the role readWrite on it'
  if (code === OUT_OF_DISK_SPACE) return "the database's disk is full"
  if (isTooOld(error)) return 'this MongoDB is too old'
  return outcomeOf(error) === 'refused' ? 'MongoDB refused' : 'MongoDB cannot be reached'
}

/** Whether another try may go well without anybody doing something first. */
const isPassing = (error: unknown): boolean => outcomeOf(error) !== 'refused' && !isWrongLogin(error) && !isTooOld(error)

const isWrongLogin = (error: unknown): boolean =>
  codeOf(error) === AUTHENTICATION_FAILED || (causeOf(error) !== undefined && isWrongLogin(causeOf(error)))

/** A server that is too old is told by its connection failing, and the selection of a server then ends for want of another. */
const isTooOld = (error: unknown): boolean => error instanceof Error && /maximum wire version/.test(error.message)

const causeOf = (error: unknown): unknown => (error instanceof Error ? error.cause : undefined)
