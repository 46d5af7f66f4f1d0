import { StorageError } from '../storage-error.ts'

/** A `StorageError` as it crosses between threads, where classes are lost. */
export interface Failure {
  readonly message: string
  readonly isTransient: boolean
  readonly cause?: string
}

/** SQLite's primary result codes after which another try may go well. */
const TRANSIENT = /^SQLITE_(FULL|BUSY|LOCKED|IOERR|NOMEM|INTERRUPT|PROTOCOL)/

const EXPLANATIONS: readonly (readonly [RegExp, string])[] = [
  [/^SQLITE_FULL/, 'the disk is full'],
  [/^SQLITE_(BUSY|LOCKED)/, 'another process holds the database'],
  [/^SQLITE_IOERR/, 'the disk failed'],
  [/^SQLITE_(CORRUPT|NOTADB)/, 'the database file is damaged, or is not a database'],
  [/^SQLITE_(READONLY|PERM|AUTH)/, 'the database may not be written'],
  [/^SQLITE_CANTOPEN/, 'the database file cannot be opened'],
]

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** Says what went wrong in words an operator can act on. */
export const failureOf = (error: unknown): Failure => {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof StorageError) return { message: text, isTransient: error.isTransient }
  const code = codeOf(error)
  const explanation = EXPLANATIONS.find(([pattern]) => pattern.test(code))?.[1]
  return {
    message: explanation === undefined ? `the database failed: ${text}` : `${explanation} (${code}: ${text})`,
    isTransient: TRANSIENT.test(code),
    cause: code === '' && error instanceof Error ? (error.stack ?? text) : text,
  }
}

/** Whether an error is the whole database's, so that nothing else of its transaction can be trusted to go well. */
export const isOfDatabase = (error: unknown): boolean => /^SQLITE_(?!CONSTRAINT|TOOBIG|MISMATCH|RANGE)/.test(codeOf(error))

export const errorOf = ({ message, isTransient, cause }: Failure): StorageError =>
  new StorageError(message, { isTransient, ...(cause === undefined ? {} : { cause }) })
