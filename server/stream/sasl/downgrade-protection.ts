import { hash as digest } from 'node:crypto'
import { hashFacts } from '#server/core/credentials.ts'
import type { ScramHash } from '#storage/shapes.ts'

/** The hash of what a stream advertised, so that a client notices when somebody took something away (XEP-0474 §6.1). */
export const downgradeHash = (hash: ScramHash, mechanisms: readonly string[], bindings: readonly string[]): string => {
  const listed = mechanisms.toSorted().join('\x1e')
  const text = bindings.length === 0 ? listed : `${listed}\x1f${bindings.toSorted().join('\x1e')}`
  return digest(hashFacts[hash].name, text, 'base64')
}

const VERSIONS: Readonly<Record<string, string>> = { 'TLSv1.3': '0304', 'TLSv1.2': '0303' }

/** The number of a TLS version, so that a client notices when somebody in between speaks another one with it (XEP-0515 §4.1). */
export const versionNumber = (protocol: string): string | undefined => VERSIONS[protocol]
