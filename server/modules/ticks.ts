import { integer } from '#server/base/schema.ts'
import { amend, observe, type Passage } from '#server/core/hooks.ts'
import { momentOf } from '#server/core/ledger.ts'
import { carryFlag, defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import { isText } from '#server/core/storable.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, bareOf, type Jid } from '#stanzas/jid.ts'
import { NS_CHAT_MARKERS } from '#stanzas/namespaces.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { textToLogId } from '#stanzas/stanza-id.ts'
import { documents, type LogEntry } from '#storage/shapes.ts'
import { blocking } from './blocking.ts'
import { roster } from './roster.ts'
import { type Chat, Chats, type ChatsPage, type Sums } from './ticks/chats.ts'
import {
  chatElement,
  type Name,
  NS_TICKS,
  type PageRequest,
  readChatsPage,
  readTicksRequest,
  setElement,
  tickElement,
} from './ticks/elements.ts'
import { findMarked, findNamed } from './ticks/marked.ts'
import { Pushes } from './ticks/pushes.ts'
import { States, type Tick } from './ticks/states.ts'
import { type Progress, placeOf, Watermarks } from './ticks/watermarks.ts'

export type { Chat, ChatsPage, Sums } from './ticks/chats.ts'
export type { State, Tick } from './ticks/states.ts'

/** What modules may ask of ticks. */
export interface TicksApi {
  /**
   * The account has read the conversation up to this entry of its archive, by whatever but a marker to the peer, who is not told (XEP-0490);
   * tells whether that is further than before, once it is durable.
   */
  moveWatermark(account: BareJid, peer: BareJid, stanzaId: string): Promise<boolean>
  /** The account's conversations, newest first. */
  chats(account: BareJid, page: ChatsPage): Promise<readonly Chat[]>
  /** What the newest thousand of them have together. */
  sums(account: BareJid): Promise<Sums>
  /** What became of messages that the account has sent. */
  ticks(account: BareJid, sent: readonly LogEntry[]): Promise<readonly Tick[]>
}

/** Tells accounts what became of their messages, and what they have not read (docs/protocol/ticks.md). */
export const ticks = defineModule({
  name: 'ticks',
  summary: 'Tells each device which messages are sent, delivered and read, and what is unread.',
  features: { account: [NS_TICKS] },
  config: {
    maxWatermarks: integer({
      default: 5_000,
      min: 10,
      doc: 'In how many conversations it is remembered how far an account has read; beyond them, those that were quiet for longest are forgotten.',
    }),
  },
  stores: { progress: documents<Progress>() },
  needs: { roster, blocking },

  start({ config, stores, needs, ledger, accounts, sessions, router, clock, log, metrics, isHere, isAlone, callHome, tellHome }) {
    const watermarks = new Watermarks(stores.progress, clock, config.maxWatermarks)
    const chats = new Chats(ledger, watermarks)
    const onFailure = (account: BareJid, error: unknown): void => log.warn('ticks-not-told', { account, error })
    const states = new States({
      entries: ledger,
      watermarks,
      isLocal: (address) => router.isLocal(address),
      accountOf: (jid) => accounts.get(jid),
      showsPresence: async (account, to) =>
        (await needs.roster.maySeePresence(to.bare, account)) && !(await needs.blocking.isBlocked(account, to)),
      isHere,
      ask: (recipient, question) => callHome(recipient, 'ticks.taken', question),
      onFailure,
    })
    const pushes = new Pushes({
      entries: ledger,
      states,
      lastId: () => ledger.lastId,
      onWanted: (isWanted) => listen(isWanted || !isAlone),
      isHere,
      tell: (account, what, word) => tellHome(account, `ticks.${what}`, word),
      clock,
      onFailure,
    })
    const listen = (isListening: boolean): void => {
      ledger.onKept = isListening ? kept : undefined
      ledger.onTaken = isListening ? taken : undefined
    }
    metrics.gauge('ticks_in_flight', 'Messages whose delivery their senders wait to be told of.', () => pushes.inFlight)
    const kept = (id: number, message: Stanza, from: Address, to: Address): void => {
      if (!isText(message)) return
      if (isHere(from.bare)) pushes.sent(id, message, from.bare, to.bare, momentOf(id))
      else pushes.came(id, message, from.bare, to.bare)
    }
    const taken = (account: BareJid, id: number, atMs: number): void => pushes.taken(account, id, atMs)

    /** docs/protocol/ticks.md §7.1: the watermark is durable before the marker goes on. */
    const marked =
      (side: 'read' | 'theirs') =>
      (passage: Passage): Stanza | Promise<Stanza> => {
        const { stanza, from, to } = passage
        if (!stanza.has(NS_CHAT_MARKERS, 'displayed') || stanza.type === 'error' || stanza.type === 'groupchat') return stanza
        const name = stanza.get(NS_CHAT_MARKERS, 'displayed')?.attrs.id
        if (name === undefined || from.bare === to.bare) return stanza
        const [account, peer] = side === 'read' ? [from.bare, to.bare] : [to.bare, from.bare]
        return move(account, peer, side, name).then(() => stanza)
      }

    const move = async (account: BareJid, peer: BareJid, side: 'read' | 'theirs', name: string): Promise<void> => {
      const after = placeOf((await watermarks.of(account, peer))[side])
      const direction = side === 'read' ? 'in' : 'out'
      const entry = await findMarked(ledger, { account, peer, direction, after }, name)
      if (entry !== undefined) await moveTo(account, entry, side)
    }

    const moveTo = async (account: BareJid, entry: LogEntry, side: 'read' | 'theirs'): Promise<boolean> => {
      const step = { id: entry.id, atMs: clock.nowMs() }
      const hasMoved = await watermarks.move(account, entry.peer, side, step)
      if (hasMoved && side === 'read') pushes.moved(account, entry.peer, step)
      if (hasMoved && side === 'theirs') pushes.read(account, entry, step.atMs)
      return hasMoved
    }

    const withIds = async (account: BareJid, names: readonly Name[]): Promise<readonly (LogEntry | undefined)[]> => {
      const ids = names.flatMap((name) => ('id' in name ? (textToLogId(name.id) ?? []) : []))
      return Promise.all(ids.map((id) => ledger.get(account, id)))
    }

    const withMessageIds = async (account: BareJid, names: readonly Name[]): Promise<readonly LogEntry[]> => {
      const byPeer = Map.groupBy(
        names.filter((name) => 'messageId' in name),
        ({ peer }) => peer.bare,
      )
      const found = [...byPeer].map(([peer, called]) =>
        findNamed(
          ledger,
          { account, peer, direction: peer === account ? 'in' : 'out', after: 0 },
          called.map(({ messageId }) => messageId),
        ),
      )
      return (await Promise.all(found)).flat()
    }

    const isOwnText = (entry: LogEntry | undefined, account: BareJid): entry is LogEntry =>
      entry?.isText === true && (entry.direction === 'out' || entry.peer === account)

    const conversation = async (account: BareJid, peer: BareJid, page: PageRequest): Promise<readonly Element[]> => {
      const direction = peer === account ? 'in' : 'out'
      const all = { peer, direction, isText: true } as const
      if (page.max === 0) return [setElement([], await ledger.count(account, all))]
      const bounds = { ...(page.after && { after: page.after }), ...(page.before && { before: page.before }) }
      const found = await ledger.range(account, { ...all, ...bounds, backwards: page.isBackwards, limit: page.max })
      const sent = page.isBackwards ? found.toReversed() : found
      return [...(await states.of(account, sent)).map(tickElement), setElement(sent.map(({ id }) => id))]
    }

    const answerTicks = async ({ payload, to: account }: IqRequest): Promise<Element> => {
      const request = readTicksRequest(payload)
      if (request.kind === 'conversation') {
        const { bare } = request.peer
        return el(NS_TICKS, 'ticks', { peer: bare }, ...(await conversation(account, bare, request.page)))
      }
      const { names } = request
      const entries = [...(await withIds(account, names)), ...(await withMessageIds(account, names))]
      const own = entries.filter((entry) => isOwnText(entry, account))
      const sent = new Map(own.sort((a, b) => a.id - b.id).map((entry) => [entry.id, entry]))
      return el(NS_TICKS, 'ticks', {}, ...(await states.of(account, [...sent.values()])).map(tickElement))
    }

    const answerChats = async ({ payload, to: account }: IqRequest): Promise<Element> => {
      const { before, max } = readChatsPage(payload)
      if (max === 0) return el(NS_TICKS, 'chats', {}, setElement([], await chats.count(account)))
      const page = await chats.page(account, { ...(before && { before }), limit: max })
      const own = page.map(({ last }) => last).filter((entry) => isOwnText(entry, account))
      const tickOf = new Map((await states.of(account, own)).map((tick) => [tick.id, tick]))
      const elements = page.map((chat) => chatElement(chat, tickOf.get(chat.last.id)))
      return el(NS_TICKS, 'chats', {}, ...elements, setElement(page.map(({ last }) => last.id)))
    }

    const api: TicksApi = {
      async moveWatermark(account, peer, stanzaId) {
        const id = textToLogId(stanzaId)
        const entry = id === undefined ? undefined : await ledger.get(account, id)
        return entry?.peer === peer && peer !== account && moveTo(account, entry, 'read')
      },
      chats: (account, page) => chats.page(account, page),
      sums: (account) => chats.sums(account),
      ticks: (account, sent) => states.of(account, sent),
    }

    // Senders elsewhere may want to be told whatever those here want.
    listen(!isAlone)
    return {
      api,
      carries: carryFlag(
        (session) => pushes.isWanted(session),
        (session) => pushes.wants(session),
      ),
      iq: [
        onSet(NS_TICKS, 'enable', 'own', ({ session }) => void (session && pushes.wants(session))),
        onSet(NS_TICKS, 'disable', 'own', ({ session }) => void (session && pushes.wantsNoMore(session))),
        onGet(NS_TICKS, 'ticks', 'own', answerTicks),
        onGet(NS_TICKS, 'chats', 'own', answerChats),
      ],
      hooks: [
        amend('sent', marked('read'), { kind: 'message', namespace: NS_CHAT_MARKERS }),
        amend('inbound', marked('theirs'), { kind: 'message', namespace: NS_CHAT_MARKERS }),
        ...(isAlone
          ? []
          : [
              observe('session-started', ({ session: { account } }) => {
                if (sessions.of(account).length === 1) pushes.arrived(account)
              }),
              observe('account-left', ({ account }) => {
                pushes.left(account)
                watermarks.leave(account)
              }),
            ]),
        observe('session-ended', ({ session }) => {
          pushes.wantsNoMore(session)
          if (sessions.of(session.account).length === 0) pushes.ended(session.account)
        }),
        observe('account-deleted', ({ account }) => watermarks.forget(account)),
      ],
      calls: [
        { name: 'taken', handle: (recipient, question) => states.asked(recipient, question) },
        { name: 'delivered', handle: (sender, word) => void pushes.delivered(sender, word) },
        { name: 'enquiry', handle: (sender, recipient) => void pushes.enquired(sender, bareOf(recipient as Jid)) },
        { name: 'hush', handle: (_, sender) => void pushes.hush(bareOf(sender as Jid), true) },
        { name: 'unhush', handle: (_, sender) => void pushes.hush(bareOf(sender as Jid), false) },
      ],
      stop: () => listen(false),
    }
  },
})
