import { defineModule, onVisitorIq, type Visitor } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { makeJid } from '#stanzas/jid.ts'
import { NS_REGISTER } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'

const NS_FEATURE = 'http://jabber.org/features/iq-register'

/** Makes accounts for clients that have none yet. */
export const registration = defineModule({
  name: 'registration',
  summary: 'Clients make accounts for themselves.',
  xeps: { 'XEP-0077': '2.4' },
  features: { server: [NS_REGISTER] },

  start({ host, domain, accounts }) {
    const create = async (_visitor: Visitor, payload: Element): Promise<undefined> => {
      const username = payload.getChildText('username') ?? ''
      const password = payload.getChildText('password') ?? ''
      if (username === '' || password === '') throw new StanzaError('not-acceptable')
      const jid = makeJid(username, domain.jid)?.bare
      if (jid === undefined) throw new StanzaError('jid-malformed')
      const outcome = await accounts.create(jid, password)
      if (outcome === 'exists') throw new StanzaError('conflict')
      if (outcome === 'busy') throw new StanzaError('resource-constraint')
      if (outcome !== 'created') throw new StanzaError('not-acceptable')
    }
    return {
      visitorIq: [
        onVisitorIq(NS_REGISTER, 'query', (visitor, { type, payload }) => {
          if (!host.isDev) throw new StanzaError('not-allowed')
          if (type === 'set') return create(visitor, payload)
          return el(
            NS_REGISTER,
            'query',
            {},
            el(NS_REGISTER, 'instructions', {}, 'Choose a username and a password.'),
            el(NS_REGISTER, 'username'),
            el(NS_REGISTER, 'password'),
          )
        }),
      ],
      streamFeatures: [{ when: 'before-login', offer: () => (host.isDev ? el(NS_FEATURE, 'register') : undefined) }],
    }
  },
})
