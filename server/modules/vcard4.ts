import { defineModule } from '#server/core/module.ts'
import { el } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { pep } from './pep.ts'
import { type Item, pubsub } from './pubsub.ts'
import { type CardPart, vcard } from './vcard.ts'
import { isAlike, isVcard4, toVcard4, toVcardTemp, withoutShared } from './vcard4/conversion.ts'
import { NS_VCARD4 } from './vcard4/properties.ts'

const NODE = 'urn:xmpp:vcard4'
/** XEP-0292 §8: a card that is set is for everybody, in whichever form. */
const MADE_BY_CARD = { accessModel: 'open', persistItems: true } as const

/** Shows one card in both forms. Whoever may read the node sees what it says; it is for the account to say who that is. */
export const vcard4 = defineModule({
  name: 'vcard4',
  summary: 'Keeps what people tell about themselves the same in the new form of cards and in the old one.',
  xeps: { 'XEP-0292': '0.12.0' },
  features: { account: [NS_VCARD4] },
  needs: { pubsub, pep, vcard },

  start({ needs }) {
    const { pubsub: engine } = needs

    const current = async (account: BareJid): Promise<Item | undefined> => (await engine.items(account, NODE, { max: 1 }))[0]

    const part: CardPart = {
      async show(account, card, asker) {
        const node = await engine.node(account.bare, NODE)
        const payload = node === undefined ? undefined : (await current(account.bare))?.payload
        if (node === undefined || !isVcard4(payload)) return card
        const mayRead = await engine.mayRead(needs.pep.profileOf(account), node, asker.jid)
        return mayRead ? toVcardTemp(payload, card) : withoutShared(card)
      },

      async take(account, card, by) {
        const before = await current(account.bare)
        const kept = isVcard4(before?.payload) ? before.payload : undefined
        const payload = toVcard4(card, kept)
        if (isAlike(payload, kept ?? el(NS_VCARD4, 'vcard'))) return card
        const isThere = (await engine.node(account.bare, NODE)) !== undefined
        await engine.publish(needs.pep.profileOf(account), NODE, [{ id: before?.id, payload }], {
          by,
          ...(!isThere && { config: MADE_BY_CARD }),
        })
        return card
      },
    }

    needs.vcard.addPart(part)
    // §4.2.2: events say that there is another card, not what it says.
    needs.pep.setDefaults(NODE, { deliverPayloads: false })
    engine.guard(NODE, ({ drafts }) => {
      for (const { payload } of drafts)
        if (!isVcard4(payload))
          throw new StanzaError('bad-request', { extra: el('http://jabber.org/protocol/pubsub#errors', 'invalid-payload') })
      return drafts
    })
    return {}
  },
})
