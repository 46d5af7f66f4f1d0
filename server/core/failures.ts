import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { StorageError } from '#storage/storage-error.ts'

/** What the peer is told when a handler did not return: its own refusal, the database's failure, or ours. */
export const asStanzaError = (error: unknown): StanzaError => {
  if (error instanceof StanzaError) return error
  if (error instanceof StorageError) return new StanzaError('resource-constraint')
  return new StanzaError('internal-server-error')
}

/** A full disk refuses thousands of messages a second; a line for each would be written to it, too. */
const STORAGE_LOG_MS = 1_000

/** Logs what kept a stanza from being handled (RFC 6120 §8.3.3.6): where, and never what was said. Failures of the store make one line a second. */
export const failureLog = (log: Logger, clock: Clock): ((stanza: Stanza, error: unknown) => void) => {
  let silentUntilMs = Number.NEGATIVE_INFINITY
  let unsaid = 0
  return (stanza, error) => {
    const fields = { kind: stanza.kind, id: stanza.id, payload: stanza.payloads[0]?.name, error }
    if (!(error instanceof StorageError)) return log.error('stanza-failed', fields)
    const nowMs = clock.monotonicMs()
    if (nowMs < silentUntilMs) return void unsaid++
    log.error('storage-failed', { ...fields, unsaid })
    silentUntilMs = nowMs + STORAGE_LOG_MS
    unsaid = 0
  }
}
