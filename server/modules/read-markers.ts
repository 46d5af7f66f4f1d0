import { amend, type Passage } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_STANZA_ID } from '#stanzas/namespaces.ts'
import type { Payload, Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { textToLogId } from '#stanzas/stanza-id.ts'
import { pep } from './pep.ts'
import { type Draft, type Publication, type PubsubEvent, pubsub } from './pubsub.ts'
import { ticks } from './ticks.ts'

/** The node, and the namespace of its payloads. */
const NS_MDS = 'urn:xmpp:mds:displayed:0'
const NS_ASSIST = 'urn:xmpp:mds:server-assist:0'

/** XEP-0490 §4.2, §7 */
const NODE_CONFIG = { accessModel: 'whitelist', persistItems: true, maxItems: 'max', sendLast: 'never' } as const

/** Up to where an account has seen a conversation: the id of a message, and who gave it that. */
interface Mark {
  readonly by: string
  readonly id: string
}

/** Keeps how far an account has read each conversation, for all of its devices and for nobody else. */
export const readMarkers = defineModule({
  name: 'read-markers',
  summary: 'Tells all devices of an account what one of them has displayed, by a single message if a client wants.',
  xeps: { 'XEP-0490': '1.0.1' },
  features: { account: [NS_ASSIST] },
  needs: { pubsub, pep, ticks },

  start({ needs, ledger, log }) {
    const { pubsub: engine } = needs

    const keptFor = async (account: BareJid, chat: string): Promise<Element | undefined> =>
      (await engine.items(account, NS_MDS, { ids: [chat] }))[0]?.payload

    /** §5.1: the state only moves forward. Only ids of the account's own archive have an order; one that is still to come has none. */
    const isBehind = (account: BareJid, mark: Mark, kept: Mark): boolean => {
      if (mark.by !== account || kept.by !== account) return false
      const [id, keptId] = [textToLogId(mark.id), textToLogId(kept.id)]
      return id !== undefined && keptId !== undefined && keptId <= ledger.lastId && id < keptId
    }

    /** What a client publishes must be a mark; one that is behind becomes the one that is there. Ids of items are nobody's business (§5.2). */
    const check = async ({ profile, drafts }: Publication): Promise<readonly Draft[]> => {
      const { bare } = profile.address
      const checked: Draft[] = []
      for (const draft of drafts) {
        const mark = readMark(draft.payload)
        if (mark === undefined)
          throw new StanzaError('bad-request', { extra: el('http://jabber.org/protocol/pubsub#errors', 'invalid-payload') })
        const payload = draft.id === undefined ? undefined : await keptFor(bare, draft.id)
        const kept = readMark(payload)
        checked.push(kept !== undefined && isBehind(bare, mark, kept) ? { ...draft, payload } : draft)
      }
      return checked
    }

    /** docs/protocol/ticks.md: the account's own devices hear of it, and the sender does not. */
    const moveWatermarks = async (event: PubsubEvent): Promise<void> => {
      if (event.kind !== 'published') return
      const { bare } = event.profile.address
      for (const { id: chat, payload } of event.items) {
        const mark = readMark(payload)
        const peer = parseJid(chat)
        if (mark?.by === bare && peer !== undefined) await needs.ticks.moveWatermark(bare, peer.bare, mark.id)
      }
    }

    /** §4.5.3: it goes no further than this server (§7), whatever becomes of it here. */
    const assist = ({ stanza, from, to }: Passage): Stanza | Promise<Stanza> => {
      const mark = readMark(stanza.get(NS_MDS, 'displayed'))
      const stripped = stanza.restamp({ drop: isDisplayed })
      if (mark === undefined || stanza.type === 'error') return stripped
      return publish(from, to.jid, mark).then(() => stripped)
    }

    const publish = async (from: Address, chat: string, mark: Mark): Promise<void> => {
      const { bare } = from
      const kept = readMark(await keptFor(bare, chat))
      if (kept !== undefined && (isBehind(bare, mark, kept) || isSame(mark, kept))) return
      try {
        const drafts = [{ id: chat, payload: displayedElement(mark) }]
        await engine.publish(needs.pep.profileOf(from.bareAddress), NS_MDS, drafts, { by: from })
      } catch (error) {
        // The message is no worse for it, and nobody would understand its refusal.
        if (!(error instanceof StanzaError)) throw error
        log.info('marker-not-published', { account: bare, condition: error.condition })
      }
    }

    needs.pep.setDefaults(NS_MDS, NODE_CONFIG)
    engine.guard(NS_MDS, check)
    engine.observe(NS_MDS, moveWatermarks)

    // §5.2: before it is archived or copied.
    return { hooks: [amend('sent', assist, { kind: 'message', namespace: NS_MDS })] }
  },
})

const isDisplayed = ({ ns, name }: Payload): boolean => ns === NS_MDS && name === 'displayed'

const isSame = (a: Mark, b: Mark): boolean => a.by === b.by && a.id === b.id

/** §4.1: exactly one stanza-id. */
const readMark = (payload: Element | undefined): Mark | undefined => {
  if (payload?.ns !== NS_MDS || payload.name !== 'displayed') return undefined
  const [stanzaId, ...others] = payload.getChildren()
  if (stanzaId?.ns !== NS_STANZA_ID || stanzaId.name !== 'stanza-id' || others.length > 0) return undefined
  const { by = '', id = '' } = stanzaId.attrs
  return by === '' || id === '' ? undefined : { by: parseJid(by)?.jid ?? by, id }
}

const displayedElement = ({ by, id }: Mark): Element => el(NS_MDS, 'displayed', {}, el(NS_STANZA_ID, 'stanza-id', { by, id }))
