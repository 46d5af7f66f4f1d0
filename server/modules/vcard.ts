import { bytes } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule, onGet, onSet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'

const NS_VCARD = 'vcard-temp'
/** The one document of each account. */
const CARD = 'vcard'

/** What shows and takes parts of a card that are kept elsewhere. */
export interface CardPart {
  /** The card as this asker is to see it; without children when there is nothing to see. */
  show(account: Address, card: Element, asker: Address): Element | Promise<Element>
  /** Takes what it keeps out of a card that the account sets; a thrown `StanzaError` is the answer. */
  take(account: Address, card: Element, by: Address): Element | Promise<Element>
}

/** What modules may do with cards. */
export interface VcardApi {
  /** Lets a part have its say about every card; parts are asked in the order they came. */
  addPart(part: CardPart): void
}

/** Keeps an account's card and shows it to everyone. */
export const vcard = defineModule({
  name: 'vcard',
  summary: 'Keeps what people tell everyone about themselves: name, picture, addresses.',
  xeps: { 'XEP-0054': '1.3.0' },
  features: { server: [NS_VCARD], account: [NS_VCARD] },
  config: {
    maxBytes: bytes('256 KiB', {
      min: '1 KiB',
      doc: 'How large a card may be, its picture included. Nothing larger than limits.stanzaBytes arrives at all.',
    }),
  },
  stores: { cards: documents<string>() },

  start({ config, stores }) {
    const parts: CardPart[] = []
    const kept = async (account: BareJid): Promise<Element> => {
      const card = await stores.cards.get(account, CARD)
      return card === undefined ? el(NS_VCARD, 'vCard') : parseElement(toWire(card))
    }
    const api: VcardApi = { addPart: (part) => void parts.push(part) }
    return {
      api,
      iq: [
        onGet(NS_VCARD, 'vCard', 'account', async ({ fromAddress, to: account, toAddress }) => {
          let card = await kept(account)
          for (const part of parts) card = await part.show(toAddress, card, fromAddress)
          // XEP-0054 §3.1: the own card, which is not there yet, is empty.
          if (card.children.length > 0 || fromAddress.bare === account) return card
          // XEP-0054 §3.3, RFC 6121 §8.5.1: an account without a card and an account that does not exist look the same.
          throw new StanzaError('service-unavailable')
        }),
        onSet(NS_VCARD, 'vCard', 'own', async ({ payload, to: account, toAddress, fromAddress }) => {
          if (serialize(payload, '').length > config.maxBytes)
            throw new StanzaError('policy-violation', { text: `a card may have ${config.maxBytes} bytes` })
          let card = payload
          for (const part of parts) card = await part.take(toAddress, card, fromAddress)
          if (card.children.length === 0) await stores.cards.delete(account, CARD)
          else await stores.cards.put(account, CARD, toText(serialize(card, '')))
          return undefined
        }),
      ],
      hooks: [observe('account-deleted', ({ account }) => stores.cards.deleteOwner(account))],
    }
  },
})
