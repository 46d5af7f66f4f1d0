import { observe, type Passage } from '#server/core/hooks.ts'
import { stanzaOf } from '#server/core/ledger.ts'
import { carryFlag, defineModule, onBind2, onSet } from '#server/core/module.ts'
import { newest } from '#server/core/newest.ts'
import type { Session } from '#server/core/session.ts'
import { forwardedWire } from '#stanzas/forwarded.ts'
import { hintsOf } from '#stanzas/hints.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_CARBONS, NS_CHAT_MARKERS, NS_CHAT_STATES, NS_CLIENT, NS_RECEIPTS } from '#stanzas/namespaces.ts'
import { message, type Stanza } from '#stanzas/stanza.ts'
import { stanzaIdWire } from '#stanzas/stanza-id.ts'
import { wire } from '#stanzas/wire.ts'

const NS_MUC_USER = 'http://jabber.org/protocol/muc#user'
const NS_CONFERENCE = 'jabber:x:conference'
const NS_RULES = 'urn:xmpp:carbons:rules:0'
/** An error answers one of the latest messages with its sender: one of so many that are in the archive, or of those that are kept nowhere, of all accounts. */
const ANSWERABLE = { limit: 100, maxBytes: 1_048_576 }
const MAX_UNKEPT = 10_000
/** Longer than the ids of any client: those of messages that are kept nowhere stay in memory. */
const MAX_ID = 256
/** XEP-0280 §6.1: what makes a message without a body part of a conversation. */
const CONVERSATIONAL: ReadonlySet<string> = new Set([NS_RECEIPTS, NS_CHAT_STATES, NS_CHAT_MARKERS, NS_CONFERENCE])

/** Copies conversations to the account's other devices. */
export const carbons = defineModule({
  name: 'carbons',
  summary: 'Shows every device of an account what the others send and receive.',
  xeps: { 'XEP-0280': '1.0.1' },
  features: { server: [NS_CARBONS, NS_RULES], account: [NS_CARBONS, NS_RULES] },
  perSession: () => ({ isEnabled: false }),

  start({ sessions, delivery, ledger, stateOf }) {
    /** What was eligible, with other devices there, and is kept nowhere, the latest last, so that the error that answers it is known. */
    const unkept = new Set<string>()
    const switchTo = (isEnabled: boolean) => (request: { readonly session: Session | undefined }) => {
      // XEP-0280 §10.1: asking twice is no error.
      if (request.session !== undefined) stateOf(request.session).isEnabled = isEnabled
      return undefined
    }

    /** Whether whoever takes the copy has taken the message: not while that still has to reach a device that is behind, nor where it could not have come itself. */
    const isTaken = (device: Session, recipients: readonly Session[]): boolean =>
      device.isWilling && !delivery.isBehind(device) && !recipients.some((recipient) => delivery.isBehind(recipient))

    /** Sends a copy to those devices of the account that asked for copies and have not had the message itself. */
    const copy = (direction: Direction, account: Address, { stanza, session, entry, recipients }: Passage): void => {
      const devices = sessions.of(account.bare)
      const sender = direction === 'sent' ? session : undefined
      let forwarded: Stanza | undefined
      for (const device of devices) {
        if (device === sender || !stateOf(device).isEnabled) continue
        if (recipients?.includes(device)) continue
        forwarded ??= wrap(
          direction,
          account,
          entry === undefined ? stanza : stanza.restamp({ append: stanzaIdWire(account, entry) }),
        )
        const counts = direction === 'received' && isTaken(device, recipients ?? [])
        const own = forwarded.restamp({ to: device.address })
        if (counts) device.send(own, entry)
        else delivery.sendBehind(device, own)
      }
    }

    /** XEP-0280 §6.1: an error goes where the message went that it answers; which that was is known from what the account sent or received, not from what the error says (§10.3). */
    const answersEligible = async (error: Stanza, direction: Direction, account: Address, peer: Address): Promise<boolean> => {
      const { id } = error
      if (id === undefined) return false
      if (unkept.has(keyOf(account, peer, id))) return true
      const answered = opposite(direction)
      for await (const slice of newest(ledger, account.bare, { peer: peer.bare }, ANSWERABLE))
        for (const entry of slice) {
          if (entry.direction !== (answered === 'sent' ? 'out' : 'in')) continue
          const message = stanzaOf(entry)
          if (message.id === id && isEligible(message, answered)) return true
        }
      return false
    }

    const rememberUnkept = (direction: Direction, { stanza, from, to }: Passage): void => {
      const { id } = stanza
      if (id === undefined || id.length > MAX_ID || stanza.type === 'error' || !isEligible(stanza, direction)) return
      unkept.add(direction === 'sent' ? keyOf(from, to, id) : keyOf(to, from, id))
      if (unkept.size > MAX_UNKEPT)
        for (const oldest of unkept) {
          unkept.delete(oldest)
          break
        }
    }

    const consider = (direction: Direction, account: Address, peer: Address, passage: Passage): void | Promise<void> => {
      const { stanza, to } = passage
      const isError = stanza.type === 'error'
      // XEP-0280 §10.3: copies come from the account's own bare JID, and no message of a device does, so this is the bounce of a copy.
      if (isError && to.jid === account.jid) return undefined
      if (isEligible(stanza, direction)) return copy(direction, account, passage)
      if (!isError || isExcluded(stanza)) return undefined
      return answersEligible(stanza, direction, account, peer).then((isAnswer) => {
        if (isAnswer) copy(direction, account, passage)
      })
    }

    return {
      carries: carryFlag(
        (session) => stateOf(session).isEnabled,
        (session) => {
          stateOf(session).isEnabled = true
        },
      ),
      iq: [onSet(NS_CARBONS, 'enable', 'own', switchTo(true)), onSet(NS_CARBONS, 'disable', 'own', switchTo(false))],
      // XEP-0386 §3.2.1
      bind2: [onBind2(NS_CARBONS, ['enable'], (session) => switchTo(true)({ session }))],
      hooks: [
        observe(
          'sent',
          (passage) => {
            const { from, to, entry } = passage
            if (sessions.of(from.bare).length <= 1) return undefined
            if (entry === undefined) rememberUnkept('sent', passage)
            return consider('sent', from.bareAddress, to, passage)
          },
          { kind: 'message' },
        ),
        observe(
          'inbound',
          (passage) => {
            const { from, to, recipients, entry } = passage
            const { length } = sessions.of(to.bare)
            if (entry === undefined && length > 1) rememberUnkept('received', passage)
            // A message to oneself has been copied as sent; and mostly every device has had the message itself.
            if (from.bare === to.bare || length === recipients?.length) return undefined
            return consider('received', to.bareAddress, from, passage)
          },
          { kind: 'message' },
        ),
      ],
    }
  },
})

type Direction = 'sent' | 'received'
const opposite = (direction: Direction): Direction => (direction === 'sent' ? 'received' : 'sent')

const keyOf = (account: Address, peer: Address, id: string): string => `${account.bare}\n${peer.bare}\n${id}`

const wrap = (direction: Direction, account: Address, copied: Stanza): Stanza =>
  message({ from: account, type: copied.type }).restamp({
    append: wire(`<${direction} xmlns='${NS_CARBONS}'>${forwardedWire(copied)}</${direction}>`),
  })

/** XEP-0280 §6.1; §9: `private` is for one device only. */
const isEligible = (stanza: Stanza, direction: Direction): boolean => {
  const type = stanza.type ?? 'normal'
  if (isExcluded(stanza)) return false
  const room = stanza.get(NS_MUC_USER, 'x')
  if (room?.getChild('invite') !== undefined) return true
  // A private message from an occupant reaches every joined device by itself.
  if (direction === 'received' && room !== undefined && stanza.from?.resourcepart !== '') return false
  if (type === 'chat') return true
  const isTalk = type !== 'headline' && type !== 'error'
  return stanza.payloads.some(({ ns, name }) => (ns === NS_CLIENT ? name === 'body' && isTalk : CONVERSATIONAL.has(ns)))
}

const isExcluded = (stanza: Stanza): boolean =>
  stanza.type === 'groupchat' ||
  stanza.has(NS_CARBONS, 'private') ||
  hintsOf(stanza).has('no-copy') ||
  // A copy of a copy would go round for ever.
  stanza.has(NS_CARBONS, 'sent') ||
  stanza.has(NS_CARBONS, 'received')
