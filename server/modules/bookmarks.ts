import { guard, observe, type Passage } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import { NS_PUBSUB } from '#stanzas/namespaces.ts'
import { documents } from '#storage/shapes.ts'
import { Bookmarks } from './bookmarks/bookmarks.ts'
import { NS_BOOKMARKS, NS_STORAGE } from './bookmarks/conference.ts'
import { pep } from './pep.ts'
import { privateXml } from './private-xml.ts'
import { pubsub } from './pubsub.ts'

/** XEP-0402 §3.3 */
const NODE_CONFIG = { accessModel: 'whitelist', persistItems: true, maxItems: 'max', sendLast: 'never' } as const
/** XEP-0223 §2: what XEP-0048 has its list kept by. */
const OLD_NODE_CONFIG = { accessModel: 'whitelist', persistItems: true } as const

/** Keeps one list of rooms for each account, which clients read and write in whichever form they know. */
export const bookmarks = defineModule({
  name: 'bookmarks',
  summary: 'Gives clients of every age the same bookmarks.',
  xeps: { 'XEP-0402': '1.2.0', 'XEP-0411': '1.1.0', 'XEP-0048': '1.2', 'XEP-0492': '0.2.0' },
  features: {
    account: ['urn:xmpp:bookmarks-conversion:0', `${NS_BOOKMARKS}#compat`, `${NS_BOOKMARKS}#compat-pep`],
  },
  stores: { others: documents<readonly string[]>() },
  needs: { pubsub, pep, privateXml },

  start({ stores, needs, log }) {
    const lists = new Bookmarks({
      ...needs,
      others: stores.others,
      onFailure: (account, error) => log.warn('bookmarks-not-unified', { account, error }),
    })
    needs.pep.setDefaults(NS_BOOKMARKS, NODE_CONFIG)
    needs.pep.setDefaults(NS_STORAGE, OLD_NODE_CONFIG)
    needs.pubsub.guard(NS_BOOKMARKS, (publication) => lists.check(publication))
    needs.pubsub.guard(NS_STORAGE, (publication) => lists.takeOld(publication))
    needs.pubsub.observe(NS_BOOKMARKS, (event) => lists.changed(event))
    needs.pubsub.observe(NS_STORAGE, (event) => lists.oldChanged(event))
    needs.privateXml.delegate(NS_STORAGE, 'storage', {
      read: (account) => lists.readPrivate(account),
      write: (account, elements, by) => lists.writePrivate(account, elements, by),
    })

    /** Clients that ask for the old list find it as the new one is. */
    const prepare = ({ stanza, from, to }: Passage): undefined | Promise<undefined> => {
      if (to.jid !== from.bare) return undefined
      const nodes =
        stanza
          .get(NS_PUBSUB, 'pubsub')
          ?.getChildren()
          .map(({ attrs }) => attrs.node) ?? []
      const wantsOld = nodes.includes(NS_STORAGE)
      return wantsOld || nodes.includes(NS_BOOKMARKS) ? lists.prepare(to, wantsOld) : undefined
    }

    return {
      hooks: [
        guard('sent', prepare, { kind: 'iq', namespace: NS_PUBSUB }),
        observe('account-left', ({ account }) => lists.forget(account)),
        observe('account-deleted', async ({ account }) => {
          lists.forget(account)
          await stores.others.deleteOwner(account)
        }),
      ],
    }
  },
})
