import { formatDateTime } from '#stanzas/datetime.ts'
import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import { forwardedWire } from '#stanzas/forwarded.ts'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { NS_HINTS } from '#stanzas/namespaces.ts'
import { type RsmRequest, readRsm, rsmElement } from '#stanzas/rsm.ts'
import { message, parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { logIdToText, textToLogId } from '#stanzas/stanza-id.ts'
import type { LogId } from '#storage/shapes.ts'
import type { Chat } from './chats.ts'
import type { Tick } from './states.ts'
import type { Move } from './watermarks.ts'

/** docs/protocol/ticks.md */
export const NS_TICKS = 'urn:waxwing:ticks:0'

/** Messages named in one request, of so many peers where it takes a search. */
const MAX_NAMES = 100
const MAX_PEERS = 10
/** Messages in one page. */
const MAX_PAGE = 100
const DEFAULT_PAGE = 50
/** Conversations in one page of a chat list. */
export const MAX_CHATS = 50
/** Of a chat list of 50, at most 400 KiB. */
const MAX_FORWARDED_BYTES = 8_192

/** What names one message in a request. */
export type Name = { readonly id: string } | { readonly peer: Address; readonly messageId: string }

/** Which part of a list is wanted: entries between these two, from the end or the beginning. */
export interface PageRequest {
  readonly after: LogId | undefined
  readonly before: LogId | undefined
  readonly isBackwards: boolean
  readonly max: number
}

/** What a request is about: certain messages, or a conversation. */
export type TicksRequest =
  | { readonly kind: 'names'; readonly names: readonly Name[] }
  | { readonly kind: 'conversation'; readonly peer: Address; readonly page: PageRequest }

const peerOf = (text: string): Address => {
  const address = parseJid(text)
  if (address === undefined) throw new StanzaError('jid-malformed')
  return address.bareAddress
}

const readName = ({ attrs }: Element): Name => {
  if (attrs.id !== undefined) return { id: attrs.id }
  const messageId = attrs['message-id']
  if (messageId === undefined || attrs.peer === undefined) throw new StanzaError('bad-request')
  return { peer: peerOf(attrs.peer), messageId }
}

/** Reads a `<ticks/>` that asks; refuses what cannot be answered (docs/protocol/ticks.md §9). */
export const readTicksRequest = (ticks: Element): TicksRequest => {
  const named = ticks.getChildren('tick')
  const { peer } = ticks.attrs
  if ((peer === undefined) === (named.length === 0)) throw new StanzaError('bad-request')
  if (peer !== undefined) return { kind: 'conversation', peer: peerOf(peer), page: readPage(ticks) }
  if (named.length > MAX_NAMES)
    throw new StanzaError('policy-violation', { text: `at most ${MAX_NAMES} ids are looked up at once` })
  const names = named.map(readName)
  const peers = new Set(names.flatMap((name) => ('peer' in name ? name.peer.bare : [])))
  if (peers.size > MAX_PEERS)
    throw new StanzaError('policy-violation', {
      text: `of at most ${MAX_PEERS} peers at once messages are looked up by their message-id`,
    })
  return { kind: 'names', names }
}

const readSet = (parent: Element): RsmRequest => {
  const rsm = readRsm(parent)
  if (rsm === undefined) throw new StanzaError('bad-request')
  // XEP-0059 §2.6
  if (rsm.index !== undefined) throw new StanzaError('feature-not-implemented')
  return rsm
}

const idOf = (text: string | undefined): LogId | undefined => {
  if (text === undefined || text === '') return undefined
  const id = textToLogId(text)
  if (id === undefined) throw new StanzaError('item-not-found')
  return id
}

const readPage = (parent: Element): PageRequest => {
  const { max = DEFAULT_PAGE, after, before } = readSet(parent)
  // Who says nothing wants to see the end of the conversation.
  const isBackwards = before !== undefined || after === undefined
  return { after: idOf(after), before: idOf(before), isBackwards, max: Math.min(max, MAX_PAGE) }
}

/** Reads which conversations are wanted: those whose newest message is older than `before`. */
export const readChatsPage = (parent: Element): { readonly before: LogId | undefined; readonly max: number } => {
  const { max = MAX_CHATS, after, before } = readSet(parent)
  if (before !== undefined) throw new StanzaError('feature-not-implemented')
  // The newest conversation is the first, so what comes after another one is older.
  return { before: idOf(after), max: Math.min(max, MAX_CHATS) }
}

/** Builds a `<tick/>`. */
export const tickElement = ({ id, messageId, peer, state, atMs, deliveredMs }: Tick): Element =>
  el(NS_TICKS, 'tick', {
    id: logIdToText(id),
    'message-id': messageId,
    peer,
    state,
    stamp: stampOf(atMs),
    delivered: stampOf(deliveredMs),
  })

const stampOf = (atMs: number | undefined): string | undefined => (atMs === undefined ? undefined : formatDateTime(atMs))

/** Builds the `<set/>` of a page. */
export const setElement = (ids: readonly LogId[], count?: number): Element => {
  const texts = ids.map(logIdToText)
  return rsmElement({ first: texts[0], last: texts.at(-1), count })
}

/** Builds a `<chat/>`; `tick` is the state of its last message, where the account sent that. */
export const chatElement = ({ peer, last, unread, read, theirs }: Chat, tick: Tick | undefined): Element =>
  el(
    NS_TICKS,
    'chat',
    {
      peer,
      unread: String(unread),
      read: read === 0 ? undefined : logIdToText(read),
      theirs: theirs === 0 ? undefined : logIdToText(theirs),
    },
    el(
      NS_TICKS,
      'last',
      {
        id: logIdToText(last.id),
        direction: tick === undefined ? 'in' : 'out',
        state: tick?.state,
        stamp: formatDateTime(last.atMs),
      },
      last.stanza.length > MAX_FORWARDED_BYTES ? undefined : parseElement(forwardedWire(parseStanza(last.stanza))),
    ),
  )

/** Builds a `<watermark/>`: how far the account has read by now. */
export const watermarkElement = (peer: string, { id, atMs }: Move): Element =>
  el(NS_TICKS, 'watermark', { peer, id: logIdToText(id), stamp: formatDateTime(atMs) })

/** Makes a push of some changes to an account's sessions; its address is still to be written on it. */
export const pushOf = (account: Address, changes: readonly Element[]): Stanza =>
  message({ from: account }, el(NS_TICKS, 'ticks', {}, ...changes), el(NS_HINTS, 'no-store'))
