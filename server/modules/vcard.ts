import { bytes } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule, onGet, onSet } from '#server/core/module.ts'
import { el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'

const NS_VCARD = 'vcard-temp'
/** The one document of each account. */
const CARD = 'vcard'

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

  start: ({ config, stores }) => ({
    iq: [
      onGet(NS_VCARD, 'vCard', 'account', async ({ fromAddress, to: account }) => {
        const card = await stores.cards.get(account, CARD)
        if (card !== undefined) return parseElement(toWire(card))
        // XEP-0054 §3.1: the own card, which is not there yet, is empty.
        if (fromAddress.bare === account) return el(NS_VCARD, 'vCard')
        // XEP-0054 §3.3, RFC 6121 §8.5.1: an account without a card and an account that does not exist look the same.
        throw new StanzaError('service-unavailable')
      }),
      onSet(NS_VCARD, 'vCard', 'own', async ({ payload, to: account }) => {
        const card = serialize(payload, '')
        if (card.length > config.maxBytes)
          throw new StanzaError('policy-violation', { text: `a card may have ${config.maxBytes} bytes` })
        if (payload.children.length === 0) await stores.cards.delete(account, CARD)
        else await stores.cards.put(account, CARD, toText(card))
        return undefined
      }),
    ],
    hooks: [observe('account-deleted', ({ account }) => stores.cards.deleteOwner(account))],
  }),
})
