import { createHmac } from 'node:crypto'
import { expect } from 'vitest'
import type { Element } from '#stanzas/element.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'
import type { Actor } from './actor.ts'
import { show } from './match.ts'

export const NS_SASL2 = 'urn:xmpp:sasl:2'
export const NS_BIND2 = 'urn:xmpp:bind:0'
export const NS_FAST = 'urn:xmpp:fast:0'

/** Two installations of a client, as they call themselves. */
export const PHONE = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
export const LAPTOP = 'b1a7c1de-0d2f-4d1c-9a3e-6f2c58e0a111'

/** A request to log in (XEP-0388 §2.3). */
export const authenticate = (mechanism: string, initial: Buffer | string | undefined, inside = '', clientId?: string): string => {
  const data = initial === undefined ? '' : `<initial-response>${Buffer.from(initial).toString('base64')}</initial-response>`
  const agent =
    clientId === undefined ? '' : `<user-agent id='${clientId}'><software>Balcony</software><device>Phone</device></user-agent>`
  return `<authenticate xmlns='${NS_SASL2}' mechanism='${mechanism}'>${data}${agent}${inside}</authenticate>`
}

/** A request to log in by PLAIN. */
export const byPassword = (localpart: string, inside = '', clientId?: string, password = 'secret'): string =>
  authenticate('PLAIN', `\0${localpart}\0${password}`, inside, clientId)

/** The message that proves a token (draft-schmaus-kitten-sasl-ht), written apart from the server's. */
export const tokenProof = (localpart: string, token: string, binding: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([
    Buffer.from(`${localpart}\0`),
    createHmac('sha256', token)
      .update(Buffer.concat([Buffer.from('Initiator'), binding]))
      .digest(),
  ])

/** What the server must answer to show that it knows the token. */
export const tokenAnswer = (token: string, binding: Buffer = Buffer.alloc(0)): string =>
  createHmac('sha256', token)
    .update(Buffer.concat([Buffer.from('Responder'), binding]))
    .digest('base64')

/** A request to log in by a token. */
export const byToken = (
  localpart: string,
  token: string,
  inside = '',
  options: { readonly clientId?: string; readonly mechanism?: string; readonly fast?: string } = {},
): string =>
  authenticate(
    options.mechanism ?? 'HT-SHA-256-NONE',
    tokenProof(localpart, token),
    `${inside}<fast xmlns='${NS_FAST}' ${options.fast ?? ''}/>`,
    options.clientId ?? PHONE,
  )

/** Asks for a token. */
export const wantsToken = (mechanism = 'HT-SHA-256-NONE'): string =>
  `<request-token xmlns='${NS_FAST}' mechanism='${mechanism}'/>`

/** Asks for a resource, and for what goes with it. */
export const wantsBinding = (inside = '', tag = 'Balcony'): string =>
  `<bind xmlns='${NS_BIND2}'>${tag === '' ? '' : `<tag>${tag}</tag>`}${inside}</bind>`

/** Opens a stream, asks, and gives the success; the actor is whom the server says it is. */
export const logsInQuickly = async (actor: Actor, request: string): Promise<Element> => {
  await actor.opensStream()
  await actor.sends(request)
  const success = await actor.next()
  expect(success.name, show(success)).toBe('success')
  actor.is(success.getChildText('authorization-identifier') ?? '')
  return success
}

/** The token in a success, if there is one. */
export const tokenIn = (success: Element): string => success.getChild('token', NS_FAST)?.attrs.token ?? ''

/** An account by its address. */
export const accountOf = (text: string): BareJid => {
  const jid = parseJid(text)
  if (jid === undefined) throw new Error(`${text} is no JID`)
  return jid.bare
}
