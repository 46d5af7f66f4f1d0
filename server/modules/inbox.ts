import { defineModule, type IqRequest, onGet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { forwardedWire } from '#stanzas/forwarded.ts'
import { readRsm, rsmElement } from '#stanzas/rsm.ts'
import { message, parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { logIdToText, textToLogId } from '#stanzas/stanza-id.ts'
import { escapeAttribute, wire } from '#stanzas/wire.ts'
import type { LogId } from '#storage/shapes.ts'
import { type Chat, type ChatsPage, ticks } from './ticks.ts'

const NS_INBOX = 'urn:xmpp:inbox:1'
const NS_MAM = 'urn:xmpp:mam:2'

/** Conversations in one page; it ends earlier when its messages have so many bytes, or so few for a client that does not read what was sent before. */
const MAX_PAGE = 50
const MAX_PAGE_BYTES = 262_144
const LAGGING_BYTES = 16_384
/** It is repeated in every result. */
const MAX_QUERY_ID = 256

/** What a client wants to see of its inbox (XEP-0430 §3.1). */
interface InboxQuery {
  readonly isUnreadOnly: boolean
  readonly hasMessages: boolean
  readonly before: LogId | undefined
  readonly max: number
}

/** The chat list of `ticks` in the words of XEP-0430. */
export const inbox = defineModule({
  name: 'inbox',
  summary: 'Lists the conversations of an account, newest first, with what is unread.',
  xeps: { 'XEP-0430': '0.2.0' },
  features: { account: [NS_INBOX] },
  needs: { ticks },

  start({ needs, domain }) {
    const pageOf = ({ before, max, isUnreadOnly }: InboxQuery): ChatsPage => ({
      ...(before !== undefined && { before }),
      limit: max,
      isUnreadOnly,
    })

    const entryFor = ({ fromAddress, stanza }: IqRequest, { peer, last, unread }: Chat, hasMessages: boolean): Stanza => {
      const id = logIdToText(last.id)
      const entry = `<entry xmlns='${NS_INBOX}' jid='${escapeAttribute(peer)}' unread='${unread}' id='${id}'/>`
      const forwarded = (): string => forwardedWire(parseStanza(last.stanza), { from: domain, atMs: last.atMs })
      const result = (): string =>
        `<result xmlns='${NS_MAM}' queryid='${escapeAttribute(stanza.id ?? '')}' id='${id}'>${forwarded()}</result>`
      return message({ from: fromAddress.bareAddress, to: fromAddress }).restamp({
        append: wire(hasMessages ? entry + result() : entry),
      })
    }

    const answer = async (request: IqRequest): Promise<Element> => {
      const { payload, to: account, session, stanza } = request
      if ((stanza.id?.length ?? 0) > MAX_QUERY_ID) throw new StanzaError('policy-violation')
      const query = readQuery(payload)
      const found = query.max === 0 ? [] : await needs.ticks.chats(account, pageOf(query))
      const page = query.hasMessages ? cut(found, session?.outlet.isLagging === true ? LAGGING_BYTES : MAX_PAGE_BYTES) : found
      for (const chat of page) session?.send(entryFor(request, chat, query.hasMessages))
      const { chats, unreadChats, unread } = await needs.ticks.sums(account)
      const ids = page.map(({ last }) => logIdToText(last.id))
      return el(
        NS_INBOX,
        'fin',
        { total: String(chats), unread: String(unreadChats), 'all-unread': String(unread) },
        rsmElement({ first: ids[0], last: ids.at(-1), count: query.isUnreadOnly ? unreadChats : chats }),
      )
    }

    return { iq: [onGet(NS_INBOX, 'inbox', 'own', answer)] }
  },
})

/** As many as have room together, and one at least. */
const cut = (page: readonly Chat[], maxBytes: number): readonly Chat[] => {
  let bytes = 0
  const end = page.findIndex(({ last }, at) => {
    bytes += last.stanza.length
    return at > 0 && bytes > maxBytes
  })
  return end === -1 ? page : page.slice(0, end)
}

const readBoolean = (text: string | undefined, standard: boolean): boolean => {
  if (text === undefined) return standard
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new StanzaError('bad-request')
}

const readQuery = (payload: Element): InboxQuery => {
  const rsm = readRsm(payload)
  if (rsm === undefined) throw new StanzaError('bad-request')
  const { max = MAX_PAGE, after, before, index } = rsm
  // XEP-0059 §2.5, §2.6: only from the newest on.
  if (index !== undefined || before !== undefined) throw new StanzaError('feature-not-implemented')
  const last = after === undefined ? undefined : textToLogId(after)
  if (after !== undefined && last === undefined) throw new StanzaError('item-not-found')
  return {
    isUnreadOnly: readBoolean(payload.attrs['unread-only'], false),
    hasMessages: readBoolean(payload.attrs.messages, true),
    before: last,
    max: Math.min(max, MAX_PAGE),
  }
}
