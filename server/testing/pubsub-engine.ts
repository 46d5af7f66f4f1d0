import type { IqRequest } from '#server/core/module.ts'
import type { Router } from '#server/core/router.ts'
import { Sessions } from '#server/core/sessions.ts'
import { Access } from '#server/modules/pubsub/access.ts'
import { makeEngine } from '#server/modules/pubsub/engine.ts'
import { Listeners } from '#server/modules/pubsub/listeners.ts'
import { type MemoryLimits, NodeStore } from '#server/modules/pubsub/node-store.ts'
import { Notifier } from '#server/modules/pubsub/notifier.ts'
import { ServiceProfile } from '#server/modules/pubsub/service.ts'
import type { Stored } from '#server/modules/pubsub/stored.ts'
import type { HostProfile, PubsubApi } from '#server/modules/pubsub.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { iq, type Stanza } from '#stanzas/stanza.ts'
import type { Documents } from '#storage/shapes.ts'
import type { FakeClock } from './fake-clock.ts'

/** An address that is known to be one. */
export const addressed = (jid: string): Address => {
  const address = parseJid(jid)
  if (address === undefined) throw new Error(`${jid} is no JID`)
  return address
}

/** The engine without a server around it: nobody has contacts, and what it sends is written down. */
export interface EngineAlone {
  readonly api: PubsubApi
  readonly sent: Stanza[]
  readonly failures: unknown[]
}

/** Makes an engine on these documents; a second one on the same is the first after a restart. */
export const engineOn = (
  documents: Documents<Stored>,
  clock: FakeClock,
  memory: MemoryLimits = { nodes: 1_000, entries: 10_000 },
): EngineAlone => {
  const sent: Stanza[] = []
  const failures: unknown[] = []
  const router = { route: (stanza: Stanza) => sent.push(stanza) } as unknown as Router
  const nodes = new NodeStore(documents, clock, memory)
  const access = new Access({ get: () => undefined, maySeePresence: () => false }, () => true)
  const fail = (_: unknown, error: unknown): void => {
    failures.push(error)
  }
  const parts = {
    nodes,
    access,
    notifier: new Notifier({
      nodes,
      access,
      router,
      sessions: new Sessions(),
      isElsewhere: () => false,
      sendIfAvailable: () => undefined,
      onFailure: fail,
    }),
    listeners: new Listeners(fail),
    limits: { subscriptionsPerNode: 100, subscriptionsPerSubscriber: 100, affiliationsPerNode: 10 },
    onFailure: (error: unknown) => fail(undefined, error),
  }
  return { api: makeEngine(parts, router).api, sent, failures }
}

/** A host that makes nodes when something is published to them. */
export const hostProfile = (jid: string, implicit: () => readonly Address[] = () => []): HostProfile => {
  const limits = { nodes: 5, itemsPerNode: 8, payloadBytes: 1_000 }
  const service = new ServiceProfile(addressed(jid), limits, { admins: new Set(), mayCreate: () => true })
  return {
    address: service.address,
    limits,
    autoCreates: true,
    defaultsFor: () => service.defaultsFor(),
    mayCreate: () => true,
    affiliationOf: () => undefined,
    implicitSubscribers: implicit,
  }
}

/** A request as the server hands it over. */
export const requestOf = (type: 'get' | 'set', payload: Element, from: Address, to: Address): IqRequest => ({
  stanza: iq({ from, to, id: 'r', type }, payload),
  payload,
  from: from.jid,
  fromAddress: from,
  to: to.bare,
  toAddress: to,
  session: undefined,
})

/** A small payload. */
export const noteElement = (text: string): Element => el('urn:example:note', 'note', {}, text)
