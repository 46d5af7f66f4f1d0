import { StorageError } from '../storage-error.ts'
import type { Collections, MetaDocument } from './collections.ts'
import { isDuplicate } from './failure.ts'

/**
 * The layout that this program writes. A fleet is upgraded node by node, so each layout may be worked on by the programs of the one before: a new one only adds, and what it
 * leaves unused is removed by the one after. `oldest` says which programs may still open the database.
 */
export const SCHEMA = 1

const KEY = 'schema'

/** Finds or writes the version of the layout; refuses what this program would damage, saying what to do. */
export const checkSchema = async ({ meta }: Collections): Promise<void> => {
  const found = await meta.findOne({ _id: KEY })
  if (found === null) return begin({ meta })
  const { version = SCHEMA, oldest = version - 1 } = found
  if (oldest > SCHEMA)
    throw refusal(
      `the database has schema ${version}, which a newer Waxwing wrote; this one knows schema ${SCHEMA}. Start that version or a newer one, or restore a backup from before the upgrade`,
    )
  if (version < SCHEMA - 1)
    throw refusal(
      `the database has schema ${version}, and this Waxwing goes on from schema ${SCHEMA - 1}. Start the versions in between first, one after another`,
    )
  if (version < SCHEMA)
    await meta.updateOne({ _id: KEY }, { $max: { version: SCHEMA, oldest: SCHEMA - 1 } satisfies Partial<MetaDocument> })
}

const begin = async ({ meta }: Pick<Collections, 'meta'>): Promise<void> => {
  try {
    await meta.insertOne({ _id: KEY, version: SCHEMA, oldest: SCHEMA })
  } catch (error) {
    // Another node began at the same moment.
    if (!isDuplicate(error)) throw error
  }
}

const refusal = (message: string): StorageError => new StorageError(message, { isTransient: false })
