import { el } from '#stanzas/element.ts'
import { NS_CLIENT } from '#stanzas/namespaces.ts'
import { serialize } from '#stanzas/serialize.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import type { Wire } from '#stanzas/wire.ts'

const NS_UPDATE = 'vcard-temp:x:update'

/** What an account's presence says of its picture. */
export interface Shown {
  /** `undefined`: it has none, or none that its contacts may see. */
  readonly hash: string | undefined
  /** Whether everybody may see it, who is told by directed presence as well. */
  readonly isOpen: boolean
  readonly update: Wire
}

const updateWire = (hash: string | undefined): Wire =>
  serialize(el(NS_UPDATE, 'x', {}, el(NS_UPDATE, 'photo', {}, ...(hash === undefined ? [] : [hash]))), NS_CLIENT)

const NO_PHOTO = updateWire(undefined)

/** An account without a picture. */
export const NOTHING: Shown = { hash: undefined, isOpen: false, update: NO_PHOTO }

export const shownWith = (hash: string, isOpen: boolean): Shown => ({ hash, isOpen, update: updateWire(hash) })

const isUpdate = ({ ns, name }: Payload): boolean => ns === NS_UPDATE && name === 'x'

const photoOf = (presence: Stanza): string | undefined =>
  presence.get(NS_UPDATE, 'x')?.getChildText('photo')?.trim().toLowerCase()

/** Whether the client says that there is nothing to see (XEP-0153 §4.1). */
export const hides = (presence: Stanza): boolean => presence.has(NS_UPDATE, 'x') && photoOf(presence) === ''

/** Available presence as it leaves its client, with the hash that it has to say (XEP-0398 §4). */
export const stamped = (presence: Stanza, { hash, isOpen, update }: Shown, isDirected: boolean): Stanza => {
  const isTold = hash !== undefined && (isOpen || !isDirected)
  if (!presence.has(NS_UPDATE, 'x')) return isTold ? presence.restamp({ append: update }) : presence
  const photo = photoOf(presence)
  // The client hides its picture; or what it says is true, or nothing this server knows better.
  if (photo === '' || (photo !== undefined && (photo === hash || !isTold))) return presence
  return presence.restamp({ drop: isUpdate, append: isTold ? update : NO_PHOTO })
}

/** Presence that was sent before, as it would be sent now; `undefined` when it would be the same. */
export const restamped = (presence: Stanza, { hash, update }: Shown): Stanza | undefined => {
  if ((photoOf(presence) ?? '') === (hash ?? '')) return undefined
  return presence.restamp({ drop: isUpdate, append: update })
}
