import type { Element } from '#stanzas/element.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'

/** The length of a name or group, in characters: the longest that clients show, many times over. */
const MAX_TEXT = 1_024
const MAX_GROUPS = 100

/** What a roster set asks for. */
export interface RosterSet {
  readonly jid: BareJid
  readonly isRemoval: boolean
  readonly name: string | undefined
  readonly groups: readonly string[]
}

/** Reads the payload of a roster set; refuses what RFC 6121 §2.3.3 refuses. */
export const readRosterSet = (query: Element): RosterSet => {
  const items = query.getChildren('item')
  const item = items[0]
  // One item and no more (§2.1.5).
  if (item === undefined || items.length > 1) throw new StanzaError('bad-request')
  const written = item.attrs.jid
  if (written === undefined) throw new StanzaError('bad-request')
  const address = parseJid(written)
  if (address === undefined) throw new StanzaError('jid-malformed')
  // §2.1.2.5: of the subscription a client may only say that it ends.
  const isRemoval = item.attrs.subscription === 'remove'
  const name = item.attrs.name
  if (name !== undefined && name.length > MAX_TEXT) throw new StanzaError('not-acceptable')
  return { jid: address.bare, isRemoval, name: name === '' ? undefined : name, groups: readGroups(item) }
}

const readGroups = (item: Element): readonly string[] => {
  const groups = item.getChildren('group').map((group) => group.text())
  if (groups.some((group) => group === '' || group.length > MAX_TEXT) || groups.length > MAX_GROUPS)
    throw new StanzaError('not-acceptable')
  if (new Set(groups).size < groups.length) throw new StanzaError('bad-request')
  return groups
}
