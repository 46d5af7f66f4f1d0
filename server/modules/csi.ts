import { bytes, integer } from '#server/base/schema.ts'
import { guard, observe } from '#server/core/hooks.ts'
import { carryFlag, defineModule, onBind2, onNonza } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { el } from '#stanzas/element.ts'
import { NS_CARBONS, NS_CHAT_STATES, NS_CLIENT, NS_DELAY, NS_FORWARD, NS_HINTS, NS_PUBSUB_EVENT } from '#stanzas/namespaces.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'

const NS_CSI = 'urn:xmpp:csi:0'
const OFFER = el(NS_CSI, 'csi')
/** The event, and what the server says about it: when it was, who published it, by which subscription it comes (XEP-0060 §7.1.2, §12.20). */
const EVENT_PARTS: ReadonlySet<string> = new Set([
  NS_PUBSUB_EVENT,
  NS_DELAY,
  'http://jabber.org/protocol/address',
  'http://jabber.org/protocol/shim',
])

interface State {
  isInactive: boolean
  /** Held back, in the order they came; of presence only the last of each sender. */
  held: Map<string, Stanza>
  heldBytes: number
}

/** Holds back what a phone in a pocket need not be woken for. */
export const csi = defineModule({
  name: 'csi',
  summary: 'Holds back presence, typing notices and personal events while a client says that nobody looks.',
  xeps: { 'XEP-0352': '1.0.0' },
  config: {
    maxHeld: integer({
      default: 500,
      min: 1,
      max: 10_000,
      doc: 'How many stanzas are held back for one inactive client before all are sent.',
    }),
    maxHeldBytes: bytes('256 KiB', { min: '1 KiB', doc: 'How large they may be together, likewise.' }),
  },
  perSession: (): State => ({ isInactive: false, held: new Map(), heldBytes: 0 }),

  start({ config, stateOf }) {
    const flush = (session: Session): void => {
      const state = stateOf(session)
      if (state.held.size === 0) return
      const held = state.held
      state.held = new Map()
      state.heldBytes = 0
      for (const stanza of held.values()) session.write(stanza)
    }
    const hold = (session: Session, stanza: Stanza): 'drop' => {
      const state = stateOf(session)
      const { held } = state
      const key = stanza.kind === 'presence' ? `presence ${stanza.from?.jid}` : `message ${held.size}`
      // A newer presence takes the older one's place at the end, so that the order of what is left is that of arrival.
      state.heldBytes += stanza.size - (held.get(key)?.size ?? 0)
      held.delete(key)
      held.set(key, stanza.detach())
      if (held.size >= config.maxHeld || state.heldBytes >= config.maxHeldBytes) flush(session)
      return 'drop'
    }
    const activate = (session: Session): void => {
      stateOf(session).isInactive = false
      flush(session)
    }

    return {
      carries: carryFlag(
        (session) => stateOf(session).isInactive,
        (session) => {
          stateOf(session).isInactive = true
        },
      ),
      streamFeatures: [{ when: 'after-login', offer: () => OFFER }],
      // XEP-0386 §3.2.1: the session begins in that state.
      bind2: [
        onBind2(NS_CSI, ['active', 'inactive'], (session, { name }) => {
          stateOf(session).isInactive = name === 'inactive'
          return undefined
        }),
      ],
      nonzas: [
        // XEP-0352 §5.1: what was held is on its way before anything else is answered.
        onNonza(NS_CSI, 'active', activate),
        onNonza(NS_CSI, 'inactive', (session) => {
          stateOf(session).isInactive = true
        }),
      ],
      hooks: [
        ...(['presence', 'message', 'iq'] as const).map((kind) =>
          guard(
            'outbound',
            ({ session, stanza }) => {
              if (session === undefined || !stateOf(session).isInactive) return undefined
              if (canWait(stanza)) return hold(session, stanza)
              // XEP-0352 §5.1: nothing overtakes what is held.
              flush(session)
              return undefined
            },
            { kind },
          ),
        ),
        // XEP-0352 §5.2: a resumed stream is active.
        observe('session-resumed', ({ session }) => activate(session)),
      ],
    }
  },
})

/** Presence that only informs, and messages that nobody would be notified of. */
const canWait = (stanza: Stanza): boolean => {
  if (stanza.kind === 'presence') return stanza.type === undefined || stanza.type === 'unavailable'
  if (stanza.kind !== 'message' || stanza.type === 'groupchat' || stanza.type === 'error') return false
  return isTyping(stanza.payloads) || isTyping(copiedIn(stanza)) || isPersonalEvent(stanza)
}

/** XEP-0163: what changed at somebody's account, which a client catches up with when it is looked at. */
const isPersonalEvent = ({ type, from, payloads }: Stanza): boolean =>
  type === 'headline' &&
  from !== undefined &&
  from.localpart !== '' &&
  payloads.some(({ ns }) => ns === NS_PUBSUB_EVENT) &&
  payloads.every(({ ns }) => EVENT_PARTS.has(ns))

/** XEP-0085 §5.1: a chat state by itself; a thread or a hint beside it says no more. */
const isTyping = (payloads: readonly Payload[]): boolean =>
  payloads.some(({ ns }) => ns === NS_CHAT_STATES) &&
  payloads.every(
    ({ ns, name }) => ns === NS_CHAT_STATES || (ns === NS_HINTS && name !== 'store') || (ns === NS_CLIENT && name === 'thread'),
  )

/** What another device of the account sent or received (XEP-0280 §7, §8). */
const copiedIn = (stanza: Stanza): readonly Payload[] => {
  const copy = stanza.get(NS_CARBONS, 'sent') ?? stanza.get(NS_CARBONS, 'received')
  return copy?.getChild('forwarded', NS_FORWARD)?.getChild('message', NS_CLIENT)?.getChildren() ?? []
}
