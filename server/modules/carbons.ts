import { observe, type Passage } from '#server/core/hooks.ts'
import { defineModule, onSet } from '#server/core/module.ts'
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
/** XEP-0280 §6.1: what makes a message without a body part of a conversation. */
const CONVERSATIONAL: ReadonlySet<string> = new Set([NS_RECEIPTS, NS_CHAT_STATES, NS_CHAT_MARKERS, NS_CONFERENCE])

/** Copies conversations to the account's other devices. */
export const carbons = defineModule({
  name: 'carbons',
  summary: 'Shows every device of an account what the others send and receive.',
  xeps: { 'XEP-0280': '1.0.1' },
  features: { server: [NS_CARBONS], account: [NS_CARBONS] },
  perSession: () => ({ isEnabled: false }),

  start({ sessions, delivery, stateOf }) {
    const switchTo = (isEnabled: boolean) => (request: { readonly session: Session | undefined }) => {
      // XEP-0280 §10.1: asking twice is no error.
      if (request.session !== undefined) stateOf(request.session).isEnabled = isEnabled
      return undefined
    }

    /** Whether whoever takes the copy has taken the message: not while that still has to reach a device that is behind, nor where it could not have come itself. */
    const isTaken = (device: Session, recipients: readonly Session[]): boolean =>
      device.isWilling && !delivery.isBehind(device) && !recipients.some((recipient) => delivery.isBehind(recipient))

    /** Sends a copy to those devices of the account that asked for copies and have not had the message itself. */
    const copy = (direction: 'sent' | 'received', account: Address, { stanza, session, entry, recipients }: Passage): void => {
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

    return {
      iq: [onSet(NS_CARBONS, 'enable', 'own', switchTo(true)), onSet(NS_CARBONS, 'disable', 'own', switchTo(false))],
      hooks: [
        observe(
          'sent',
          (passage) => {
            const { stanza, from } = passage
            if (sessions.of(from.bare).length > 1 && isEligible(stanza, 'sent')) copy('sent', from.bareAddress, passage)
          },
          { kind: 'message' },
        ),
        observe(
          'inbound',
          (passage) => {
            const { stanza, from, to, recipients } = passage
            // A message to oneself has been copied as sent; and mostly every device has had the message itself.
            if (from.bare === to.bare || sessions.of(to.bare).length === recipients?.length) return
            if (isEligible(stanza, 'received')) copy('received', to.bareAddress, passage)
          },
          { kind: 'message' },
        ),
      ],
    }
  },
})

const wrap = (direction: 'sent' | 'received', account: Address, copied: Stanza): Stanza =>
  message({ from: account, type: copied.type }).restamp({
    append: wire(`<${direction} xmlns='${NS_CARBONS}'>${forwardedWire(copied)}</${direction}>`),
  })

/** XEP-0280 §6.1; §9: `private` is for one device only. */
const isEligible = (stanza: Stanza, direction: 'sent' | 'received'): boolean => {
  const type = stanza.type ?? 'normal'
  if (type === 'groupchat' || type === 'headline' || type === 'error') return false
  if (stanza.has(NS_CARBONS, 'private') || hintsOf(stanza).has('no-copy')) return false
  // A copy of a copy would go round for ever.
  if (stanza.has(NS_CARBONS, 'sent') || stanza.has(NS_CARBONS, 'received')) return false
  const room = stanza.get(NS_MUC_USER, 'x')
  if (room?.getChild('invite') !== undefined) return true
  // A private message from an occupant reaches every joined device by itself.
  if (direction === 'received' && room !== undefined && stanza.from?.resourcepart !== '') return false
  if (type === 'chat') return true
  return stanza.payloads.some(({ ns, name }) => (ns === NS_CLIENT ? name === 'body' : CONVERSATIONAL.has(ns)))
}
