import type { Module } from '#server/core/module.ts'
import { caps } from './caps.ts'
import { contactAddresses } from './contact-addresses.ts'
import { disco } from './disco.ts'
import { entityTime } from './entity-time.ts'
import { hostMeta } from './host-meta.ts'
import { ping } from './ping.ts'
import { privateXml } from './private-xml.ts'
import { registration } from './registration.ts'
import { streamLimits } from './stream-limits.ts'
import { vcard } from './vcard.ts'
import { version } from './version.ts'

/** Every module of the server: one import and one line each. */
export const modules: readonly Module[] = [ping, registration, version, entityTime, privateXml, vcard, streamLimits, hostMeta, disco, caps, contactAddresses]
