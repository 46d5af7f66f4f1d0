import type { Element } from '#stanzas/element.ts'
import { NS_DATA_FORMS } from '#stanzas/namespaces.ts'
import { serialize } from '#stanzas/serialize.ts'
import type { StanzaError } from '#stanzas/stanza-error.ts'
import type { Actor } from './actor.ts'
import { any, xml } from './match.ts'

/** The service of conversations. */
export const SERVICE = 'pubsub.verona.example'

const NS = 'http://jabber.org/protocol/pubsub'

/** What a stanza is about: who gets it or has sent it. */
interface Someone {
  readonly jid: string
}

/** A request, in the namespace for everybody or in that for owners. */
export const ask = (type: 'get' | 'set', id: string, payload: string, { ns = NS, to = SERVICE } = {}): string =>
  xml`<iq type="${type}" id="${id}" to="${to}"><pubsub xmlns="${ns}">${payload}</pubsub></iq>`
/** A request of an owner. */
export const own = (type: 'get' | 'set', id: string, payload: string): string => ask(type, id, payload, { ns: `${NS}#owner` })

/** The answer to a request; without a payload, an empty one. */
export const answer = (id: string, { jid }: Someone, payload?: string, { ns = NS, from = SERVICE } = {}): string =>
  xml`<iq type="result" id="${id}" from="${from}" to="${jid}">${
    payload === undefined ? '' : `<pubsub xmlns="${ns}">${payload}</pubsub>`
  }</iq>`
/** The answer to a request of an owner. */
export const ownAnswer = (id: string, to: Someone, payload: string): string => answer(id, to, payload, { ns: `${NS}#owner` })

/** The error a request is refused with; `beside` stands in front of it. */
export const refused = (id: string, { jid }: Someone, error: StanzaError, { from = SERVICE, beside = '' } = {}): string =>
  xml`<iq type="error" id="${id}" from="${from}" to="${jid}">${beside}${serialize(error.toElement(), 'jabber:client')}</iq>`

/** A message that tells of something. */
export const event = (to: string, what: string, { from = SERVICE, type = 'headline', rest = '' } = {}): string =>
  xml`<message${type === '' ? '' : ` type="${type}"`} id="${any}" from="${from}" to="${to}"><event xmlns="${NS}#event">${what}</event>${rest}</message>`

/** A submitted form of one of pubsub's own kinds. */
export const form = (kind: string, fields: Readonly<Record<string, string | readonly string[]>>, type = 'submit'): string => {
  const written = Object.entries(fields).map(([name, values]) => {
    const each = (typeof values === 'string' ? [values] : values).map((value) => `<value>${value}</value>`).join('')
    return `<field var="pubsub#${name}">${each}</field>`
  })
  return xml`<x xmlns="jabber:x:data" type="${type}"><field var="FORM_TYPE" type="hidden"><value>${NS}#${kind}</value></field>${written.join('')}</x>`
}

/** A form of a node's configuration. */
export const config = (fields: Readonly<Record<string, string | readonly string[]>>): string => form('node_config', fields)

/** A small payload. */
export const note = (text: string): string => xml`<note xmlns="urn:example:note">${text}</note>`

/** An item, with a small payload unless it is to have none. */
export const item = (id: string, payload = note(id)): string => xml`<item id="${id}">${payload}</item>`

/** Makes a node at the service. */
export const creates = async (
  actor: Actor,
  node: string,
  fields: Readonly<Record<string, string | readonly string[]>> = {},
): Promise<void> => {
  await actor.sends(ask('set', 'create', `<create node="${node}"/><configure>${config(fields)}</configure>`))
  await actor.receives(answer('create', actor, `<create node="${node}"/>`))
}

/** Subscribes with the full JID, and is subscribed. */
export const subscribes = async (actor: Actor, node: string): Promise<void> => {
  await actor.sends(ask('set', 'subscribe', `<subscribe node="${node}" jid="${actor.jid}"/>`))
  await actor.receives(answer('subscribe', actor, subscribed(node, actor.jid)))
}

/** What a new subscriber is told. */
export const subscribed = (node: string, jid: string, state = 'subscribed'): string =>
  xml`<subscription node="${node}" jid="${jid}" subscription="${state}"><subscribe-options/></subscription>`

/** Publishes items with these ids, one after the other. */
export const publishes = async (actor: Actor, node: string, ...ids: readonly string[]): Promise<void> => {
  for (const id of ids) {
    await actor.sends(ask('set', `publish-${id}`, `<publish node="${node}">${item(id)}</publish>`))
    await actor.receives(answer(`publish-${id}`, actor, `<publish node="${node}"><item id="${id}"/></publish>`))
  }
}

/** The values of a field of pubsub's own in the form that is somewhere in a stanza. */
export const fieldValues = (within: Element, name: string): readonly string[] => {
  if (within.ns === NS_DATA_FORMS && within.name === 'field' && within.attrs.var === `pubsub#${name}`)
    return within.getChildren('value').map((value) => value.text())
  return within.children.flatMap((child) => (typeof child === 'string' ? [] : fieldValues(child, name)))
}
