import { boolean } from '#server/base/schema.ts'
import { guard, observe, type Passage } from '#server/core/hooks.ts'
import { defineModule, onGet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { documents } from '#storage/shapes.ts'
import { presence } from './presence.ts'
import { roster } from './roster.ts'

const NS_LAST = 'jabber:iq:last'
/** The one document of each account. */
const LATEST = 'latest'

interface Farewell {
  readonly atMs: number
  readonly status: string
}

const answer = (ms: number, status?: string): Element =>
  el(NS_LAST, 'query', { seconds: String(Math.max(0, Math.floor(ms / 1000))) }, status)

/** Remembers when an account was last available and tells those who may see its presence. */
export const lastActivity = defineModule({
  name: 'last-activity',
  summary: 'Tells contacts how long ago an account was last online, and everyone how long the server has been running.',
  xeps: { 'XEP-0012': '2.0' },
  features: { server: [NS_LAST], account: [NS_LAST] },
  config: {
    keepStatus: boolean({ default: true, doc: 'Also keep the text of the last unavailable presence.' }),
  },
  stores: { farewells: documents<Farewell>() },
  needs: { roster, presence },

  start({ config, stores, needs, sessions, clock, host }) {
    const ask = async ({
      from,
      to: account,
    }: {
      readonly from: Passage['from']
      readonly to: Passage['to']
    }): Promise<Element> => {
      // XEP-0012 §3, §8: answering a stranger would leak presence.
      if (!(await needs.roster.maySeePresence(from.jid, account.bare))) throw new StanzaError('forbidden')
      if (sessions.available(account.bare).length > 0) return answer(0)
      const farewell = await stores.farewells.get(account.bare, LATEST)
      if (farewell === undefined) throw new StanzaError('item-not-found')
      return answer(clock.nowMs() - farewell.atMs, farewell.status === '' ? undefined : farewell.status)
    }

    return {
      iq: [
        onGet(NS_LAST, 'query', 'account', ({ fromAddress, toAddress }) => ask({ from: fromAddress, to: toAddress })),
        // XEP-0012 §5
        onGet(NS_LAST, 'query', 'server', () => answer(clock.nowMs() - host.startedAtMs)),
      ],
      hooks: [
        // XEP-0012 §4: a resource is not even asked by those who may not see its presence, whether or not it is there.
        guard(
          'inbound',
          async ({ stanza, from, to }) => {
            if (stanza.type !== 'get' || to.resourcepart === '') return undefined
            if (!(await needs.roster.maySeePresence(from.jid, to.bare))) throw new StanzaError('forbidden')
            return undefined
          },
          { kind: 'iq', namespace: NS_LAST, after: ['blocking'] },
        ),
        observe('session-unavailable', async ({ session, status }) => {
          // Others are there still: the account is no less online than before.
          if (sessions.available(session.account).some((other) => other !== session)) return
          await stores.farewells.put(session.account, LATEST, { atMs: clock.nowMs(), status: config.keepStatus ? status : '' })
        }),
        observe('account-deleted', ({ account }) => stores.farewells.deleteOwner(account)),
      ],
    }
  },
})
