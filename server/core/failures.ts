import { StanzaError } from '#stanzas/stanza-error.ts'
import { StorageError } from '#storage/storage-error.ts'

/** What the peer is told when a handler did not return: its own refusal, the database's failure, or ours. */
export const asStanzaError = (error: unknown): StanzaError => {
  if (error instanceof StanzaError) return error
  if (error instanceof StorageError) return new StanzaError('resource-constraint')
  return new StanzaError('internal-server-error')
}
