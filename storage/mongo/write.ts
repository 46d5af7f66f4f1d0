import type { Document } from 'mongodb'
import { MongoServerError } from 'mongodb'
import type { Collections } from './collections.ts'
import { inTime } from './in-time.ts'

/** One statement that failed while others of its command went well. */
export interface WriteFailure {
  readonly index: number
  readonly code: number
  readonly message: string
}

/** A command's statements are cut before the 48 MB that a message may have, by what they weigh at most. */
const MAX_COMMAND_BYTES = 24 * 1024 * 1024
const MAX_STATEMENTS = 20_000

/**
 * Sends statements of one kind to one collection, unordered, and gives those that failed. Throws when the command as a whole failed, or when no majority has it.
 * The command is sent as it is: through the collection's own methods each document is measured and wrapped first, which costs as much again.
 */
export const write = async (
  { db, concern, answerMs }: Collections,
  name: 'insert' | 'update' | 'delete',
  collection: string,
  statements: readonly Document[],
  bytesOf: (statement: Document) => number,
): Promise<readonly WriteFailure[]> => {
  const failures: WriteFailure[] = []
  let first = 0
  while (first < statements.length) {
    let bytes = 0
    let next = first
    while (next < statements.length && next - first < MAX_STATEMENTS) {
      bytes += bytesOf(statements[next] ?? {})
      if (bytes > MAX_COMMAND_BYTES && next > first) break
      next += 1
    }
    const command = {
      [name]: collection,
      [FIELDS[name]]: first === 0 && next === statements.length ? statements : statements.slice(first, next),
      ordered: false,
      writeConcern: concern,
    }
    const reply = await inTime(answerMs, (signal) => db.command(command, { signal }))
    if (reply.writeConcernError !== undefined) throw new MongoServerError(reply.writeConcernError)
    for (const { index, code, errmsg } of reply.writeErrors ?? []) failures.push({ index: first + index, code, message: errmsg })
    first = next
  }
  return failures
}

const FIELDS = { insert: 'documents', update: 'updates', delete: 'deletes' } as const
