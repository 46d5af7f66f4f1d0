import { StorageError } from '../storage-error.ts'
import { toJson } from '../text-key.ts'
import { MAX_DOCUMENT_BYTES } from './batch.ts'

/** Writes a value as JSON, refusing what is larger than MongoDB keeps: sent off, it would fail what goes with it. */
export const checkedJson = (value: unknown): string => {
  const json = toJson(value)
  if (json.length > MAX_DOCUMENT_BYTES / 3 && Buffer.byteLength(json) > MAX_DOCUMENT_BYTES)
    throw new StorageError('a value is larger than MongoDB keeps', { isTransient: false })
  return json
}
