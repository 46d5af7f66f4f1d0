import { NS_CAPS } from '#stanzas/namespaces.ts'
import type { Stanza } from '#stanzas/stanza.ts'

/** What a client's presence says it can do, by a hash (XEP-0115 §4). */
export interface Claim {
  /** Hash function and `ver`: the same `ver` by another function is another claim. */
  readonly key: string
  readonly hash: string
  readonly ver: string
  /** The node at which the client tells what the hash stands for (§6.2). */
  readonly node: string
}

/** Longer than the base64 of any hash, and than any name of one. */
const MAX_VER = 128
const MAX_HASH = 32
/** It comes back in the question; those of real software are addresses of web sites. */
const MAX_NODE = 1_024

/** The claim in a presence; none without a hash function (XEP-0115 §9.3: the legacy format proves nothing), or when it is too long to be one. */
export const claimIn = (presence: Stanza): Claim | undefined => {
  const { hash = '', ver = '', node = '' } = presence.get(NS_CAPS, 'c')?.attrs ?? {}
  if (hash === '' || ver === '' || node === '') return undefined
  if (hash.length > MAX_HASH || ver.length > MAX_VER || node.length > MAX_NODE) return undefined
  return { key: `${hash} ${ver}`, hash, ver, node: `${node}#${ver}` }
}
