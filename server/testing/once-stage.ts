import { expect } from 'vitest'
import { carbons } from '#server/modules/carbons.ts'
import { csi } from '#server/modules/csi.ts'
import { mam } from '#server/modules/mam.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, any, type Scene, xml } from '#server/testing/conversation.ts'
import type { Element } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { NS_CARBONS, NS_CLIENT, NS_FORWARD, NS_STANZA_ID } from '#stanzas/namespaces.ts'
import { parseStanza } from '#stanzas/stanza.ts'
import { logIdToText } from '#stanzas/stanza-id.ts'

/** What conversations about DESIGN P2 have in common. */
export const memory = { modules: [presence, offline, carbons, csi, mam], carriers: ['memory'] } as const
export const everywhere = { modules: [presence, offline, carbons, csi, mam] } as const

export const JULIET = 'juliet@verona.example'
export const ROMEO = 'romeo@verona.example'
export const SM = 'urn:xmpp:sm:3'
export const NS_MAM = 'urn:xmpp:mam:2'
export const READ_ARCHIVE = xml`<iq type="set" id="archive"><query xmlns="${NS_MAM}"/></iq>`
export const REQUEST = `<r xmlns="${SM}"/>`
export const COUNT = (h: number): string => `<a xmlns="${SM}" h="${h}"/>`

/** A message as it is sent. */
export const says = (id: string, to: string = ROMEO, body = id): string =>
  xml`<message type="chat" to="${to}" id="${id}"><body>${body}</body></message>`

/** Enables stream management with resumption; gives the token. */
export const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${SM}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

/** Switches copies for other devices on. */
export const wantsCopies = async (actor: Actor): Promise<void> => {
  await actor.sends(xml`<iq type="set" id="copies"><enable xmlns="${NS_CARBONS}"/></iq>`)
  await actor.receives(xml`<iq type="result" id="copies" from="${actor.bareJid}" to="${actor.jid}"/>`)
}

/** Logs in on a new connection, and binds nothing. */
export const returns = async ({ visit }: Scene, account: string): Promise<Actor> => {
  const actor = await visit()
  await actor.logsIn(account.split('@')[0] ?? '', 'secret')
  return actor
}

/** Logs in on a new connection, and asks to resume. */
export const resumes = async (scene: Scene, jid: string, token: string, h: number): Promise<Actor> => {
  const actor = await returns(scene, jid)
  await actor.sends(`<resume xmlns="${SM}" previd="${token}" h="${h}"/>`)
  actor.is(jid)
  return actor
}

/** It was. */
export const isResumed = async (actor: Actor): Promise<void> => {
  expect((await actor.next()).name).toBe('resumed')
}
/** It was not. */
export const isNotResumed = async (actor: Actor): Promise<void> => {
  expect((await actor.next()).name).toBe('failed')
}

export const comesAsBefore = async (actor: Actor, resource: string, stanza = '<presence/>'): Promise<void> => {
  await actor.binds(resource)
  await actor.sends(stanza)
}

/** A message that came, be it in a copy or out of the archive: its id, and the one that the account's archive has given it. */
export const heardIn = (element: Element, by: string): string[] => {
  const result = element.getChild('result', NS_MAM)
  const shown = result?.getChild('forwarded', NS_FORWARD)?.getChild('message', NS_CLIENT)
  if (shown !== undefined) return [`${shown.attrs.id} ${result?.attrs.id}`]
  const copy = element.getChild('received', NS_CARBONS) ?? element.getChild('sent', NS_CARBONS)
  const message = copy?.getChild('forwarded', NS_FORWARD)?.getChild('message', NS_CLIENT) ?? element
  if (message.name !== 'message') return []
  const ids = message
    .getChildren()
    .filter(({ name, ns, attrs }) => name === 'stanza-id' && ns === NS_STANZA_ID && attrs.by === by)
  return [`${message.attrs.id} ${ids.map(({ attrs }) => attrs.id).join('+')}`]
}

/** What the account's archive has, oldest first, in the same words. */
export const kept = async ({ driver }: Scene, account: string): Promise<string[]> => {
  await driver.check()
  const entries = await driver.log.range(account as BareJid, { limit: 100 })
  return entries.map(({ id, stanza }) => `${parseStanza(stanza).id} ${logIdToText(id)}`)
}

/** Every one of these has had these messages, each once, in this order, with the ids of the archive, and nothing waits any more. */
export const haveOnce = async (
  scene: Scene,
  ids: readonly string[],
  ...devices: readonly (Actor | readonly Actor[])[]
): Promise<void> => {
  const archive = await kept(scene, ROMEO)
  expect(archive.map((text) => text.split(' ')[0])).toEqual(ids)
  for (const device of devices) {
    const heard: string[] = []
    for (const actor of Array.isArray(device) ? device : [device])
      heard.push(...(await actor.collects()).flatMap((element: Element) => heardIn(element, ROMEO)))
    expect(heard).toEqual(archive)
  }
  expect(await scene.server.ledger.countPending(ROMEO as BareJid)).toBe(0)
}

/** The sender's archive has them once, under the same ids. */
export const sentOnce = async (scene: Scene): Promise<void> => {
  expect(await kept(scene, JULIET)).toEqual(await kept(scene, ROMEO))
}

/** Juliet, and Romeo's devices, who have read what there was. */
export const stage = async (scene: Scene, ...resources: readonly string[]): Promise<[Actor, ...Actor[]]> => {
  await scene.createAccount(ROMEO)
  const juliet = await scene.comesOnline(`${JULIET}/balcony`)
  const devices: Actor[] = []
  for (const resource of resources) devices.push(await scene.comesOnline(`${ROMEO}/${resource}`))
  for (const device of devices) await device.ignores()
  return [juliet, ...devices]
}
export const pair = async (scene: Scene): Promise<readonly [Actor, Actor]> => {
  const [juliet, phone] = await stage(scene, 'phone')
  if (phone === undefined) throw new Error('no phone')
  return [juliet, phone]
}
export const three = async (scene: Scene): Promise<readonly [Actor, Actor, Actor]> => {
  const [juliet, phone, desk] = await stage(scene, 'phone', 'desk')
  if (phone === undefined || desk === undefined) throw new Error('no devices')
  return [juliet, phone, desk]
}
