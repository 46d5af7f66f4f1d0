import { StorageError } from './storage-error.ts'

/** Refuses a key that has no UTF-8 form: written to disk, two such keys could become one. */
export const checkTextKey = (key: string): string => {
  if (!key.isWellFormed()) throw new StorageError('a key holds half of a surrogate pair', { isTransient: false })
  return key
}

/** Writes a value as JSON, refusing what JSON has no word for. */
export const toJson = (value: unknown): string => {
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw new StorageError('a value has no JSON form', { isTransient: false })
  return json
}

/** The domainpart of a bare JID. */
export const domainOf = (jid: string): string => jid.slice(jid.indexOf('@') + 1)
