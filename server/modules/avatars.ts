import { amend, observe, type Passage } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { el } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { documents } from '#storage/shapes.ts'
import { isData, NS_DATA, NS_METADATA } from './avatars/image.ts'
import { Pictures } from './avatars/pictures.ts'
import { hides, NOTHING, restamped, type Shown, shownWith, stamped } from './avatars/update.ts'
import { pep } from './pep.ts'
import { type AccessModel, type Draft, type PublishGuard, type PubsubEvent, pubsub } from './pubsub.ts'
import { vcard } from './vcard.ts'

/** What is remembered of an account's picture, so that its presence need not read it. */
interface Remembered {
  readonly hash: string
  readonly isOpen: boolean
}
const KEY = 'shown'

/** XEP-0398 §7: nobody is told of a picture that it may not see; of the access models, these let all subscribers in. */
const IS_SEEN: Readonly<Partial<Record<AccessModel, boolean>>> = { open: true, presence: true }

/** Shows the picture that an account publishes to clients of both ages. */
export const avatars = defineModule({
  name: 'avatars',
  summary: 'Gives an account one picture, whether clients look for it at its nodes, in its card or by its presence.',
  xeps: { 'XEP-0398': '1.0.0', 'XEP-0084': '1.1.4', 'XEP-0153': '1.1.1' },
  features: { account: ['urn:xmpp:pep-vcard-conversion:0'] },
  stores: { shown: documents<Remembered>() },
  needs: { pubsub, pep, vcard },

  start({ stores, needs, sessions, router, log }) {
    const pictures = new Pictures(needs)
    /** Of accounts that are connected. */
    const known = new Map<BareJid, Shown>()
    const loading = new Map<BareJid, Promise<Shown>>()
    /** What is being looked at again; `true`: once more, since it has changed meanwhile. */
    const looking = new Map<BareJid, boolean>()
    /** Whose client says that there is nothing to see. */
    const hiding = new WeakSet<Session>()
    /** Presence that this module sends for a client. */
    const own = new WeakSet<Stanza>()

    const load = (account: BareJid): Promise<Shown> => {
      const underWay = loading.get(account)
      if (underWay !== undefined) return underWay
      const read: Promise<Shown> = stores.shown
        .get(account, KEY)
        .then((found) => {
          const shown = found === undefined ? NOTHING : shownWith(found.hash, found.isOpen)
          // What was looked at meanwhile is newer.
          const newest = known.get(account) ?? shown
          if (sessions.of(account).length > 0) known.set(account, newest)
          return newest
        })
        .finally(() => {
          if (loading.get(account) === read) loading.delete(account)
        })
      loading.set(account, read)
      return read
    }

    const stamp = ({ stanza, from, session }: Passage): Stanza | Promise<Stanza> => {
      if (stanza.type !== undefined || session === undefined || own.has(stanza)) return stanza
      const isDirected = stanza.to !== undefined
      if (!isDirected) {
        if (hides(stanza)) hiding.add(session)
        else hiding.delete(session)
      }
      const shown = known.get(from.bare)
      if (shown !== undefined) return stamped(stanza, shown, isDirected)
      return load(from.bare).then((loaded) => stamped(stanza, loaded, isDirected))
    }

    const lookOnce = async (account: BareJid): Promise<void> => {
      const nodes = await pictures.nodes(account)
      const isSeen = nodes?.every(({ config }) => IS_SEEN[config.accessModel] === true) === true
      const avatar = isSeen ? await pictures.current(account) : undefined
      const isOpen = nodes?.every(({ config }) => config.accessModel === 'open') === true
      if (avatar === undefined) await stores.shown.delete(account, KEY)
      else await stores.shown.put(account, KEY, { hash: avatar.hash, isOpen })
      if (sessions.of(account).length === 0) return
      const shown = avatar === undefined ? NOTHING : shownWith(avatar.hash, isOpen)
      known.set(account, shown)
      for (const session of sessions.of(account)) session.whenHandled(() => tell(session, shown))
    }

    /** XEP-0153 §4.1: whoever knows the account by its presence hears of another picture by it. */
    const tell = (session: Session, shown: Shown): void => {
      if (session.hasEnded || hiding.has(session) || known.get(session.account) !== shown) return
      const presence = session.presence && restamped(session.presence, shown)
      if (presence === undefined) return
      own.add(presence)
      // What was asked in between, and refused, concerns no client.
      void (async () => router.handle(session, presence))().catch((error: unknown) =>
        log.warn('avatar-not-told', { account: session.account, error }),
      )
    }

    const look = async (account: BareJid): Promise<void> => {
      if (looking.has(account)) {
        looking.set(account, true)
        return
      }
      try {
        do {
          looking.set(account, false)
          await lookOnce(account)
        } while (looking.get(account) === true)
      } finally {
        looking.delete(account)
      }
    }

    /** XEP-0084 §3.1: data come before the metadata that tell of them, and may take the place of those that are still told of. */
    const dataChanged = async (event: PubsubEvent): Promise<void> => {
      const account = event.profile.address.bare
      if (event.kind === 'retracted' && event.evicted) return
      if (event.kind === 'published') {
        const announced = await pictures.announced(account)
        if (!event.items.some(({ id }) => id === announced?.id)) return
      }
      await look(account)
    }

    const checkData: PublishGuard = ({ drafts }): readonly Draft[] => {
      for (const { id, payload } of drafts)
        if (!isData(payload, id))
          throw new StanzaError('bad-request', { extra: el('http://jabber.org/protocol/pubsub#errors', 'invalid-payload') })
      return drafts
    }

    needs.vcard.addPart(pictures)
    needs.pubsub.guard(NS_DATA, checkData)
    needs.pubsub.observe(NS_METADATA, ({ profile }) => look(profile.address.bare))
    needs.pubsub.observe(NS_DATA, (event) => dataChanged(event))

    return {
      hooks: [
        amend('sent', stamp, { kind: 'presence' }),
        observe('session-ended', ({ session: { account } }) => {
          if (sessions.of(account).length === 0) known.delete(account)
        }),
        observe('account-left', ({ account }) => {
          known.delete(account)
          loading.delete(account)
        }),
        observe('account-deleted', async ({ account }) => {
          known.delete(account)
          await stores.shown.deleteOwner(account)
        }),
      ],
    }
  },
})
