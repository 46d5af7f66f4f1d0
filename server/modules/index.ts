import type { Module } from '#server/core/module.ts'
import { avatars } from './avatars.ts'
import { blocking } from './blocking.ts'
import { bookmarks } from './bookmarks.ts'
import { caps } from './caps.ts'
import { carbons } from './carbons.ts'
import { clientCaps } from './client-caps.ts'
import { commands } from './commands.ts'
import { contactAddresses } from './contact-addresses.ts'
import { csi } from './csi.ts'
import { devices } from './devices.ts'
import { disco } from './disco.ts'
import { entityTime } from './entity-time.ts'
import { hostMeta } from './host-meta.ts'
import { inbox } from './inbox.ts'
import { invites } from './invites.ts'
import { lastActivity } from './last-activity.ts'
import { mam } from './mam.ts'
import { offline } from './offline.ts'
import { pep } from './pep.ts'
import { ping } from './ping.ts'
import { presence } from './presence.ts'
import { privateXml } from './private-xml.ts'
import { pubsub } from './pubsub.ts'
import { readMarkers } from './read-markers.ts'
import { registration } from './registration.ts'
import { roster } from './roster.ts'
import { streamLimits } from './stream-limits.ts'
import { subscriptions } from './subscriptions.ts'
import { ticks } from './ticks.ts'
import { vcard } from './vcard.ts'
import { vcard4 } from './vcard4.ts'
import { version } from './version.ts'

/** Every module of the server: one import and one line each. */
export const modules: readonly Module[] = [
  roster,
  subscriptions,
  presence,
  blocking,
  offline,
  mam,
  carbons,
  ticks,
  inbox,
  csi,
  ping,
  registration,
  devices,
  version,
  entityTime,
  privateXml,
  vcard,
  streamLimits,
  hostMeta,
  disco,
  caps,
  clientCaps,
  pubsub,
  pep,
  bookmarks,
  avatars,
  vcard4,
  readMarkers,
  contactAddresses,
  lastActivity,
  commands,
  invites,
]
