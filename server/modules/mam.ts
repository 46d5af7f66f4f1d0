import { bytes, integer } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import type { Archiving } from '#server/core/ledger.ts'
import { atBind2, defineModule, type IqRequest, onGet, onSet } from '#server/core/module.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { NS_STANZA_ID } from '#stanzas/namespaces.ts'
import { NS_RSM } from '#stanzas/rsm.ts'
import { parseStanza, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'
import { commands } from './commands.ts'
import { Archive } from './mam/archive.ts'
import { type Ending, Endings, NS_EPHEMERAL, timerOf } from './mam/ephemeral.ts'
import { capped, keepCommand } from './mam/keep-command.ts'
import { EVERYTHING, preferencesElement, readPreferences } from './mam/preferences.ts'
import { NS_FULLTEXT, NS_MAM, QUERY_FORM, readQuery } from './mam/query.ts'
import { finElement, metadataElement, resultsFor } from './mam/results.ts'
import { NS_RETRACT, type Retraction, retract, retractOwn } from './mam/retraction.ts'
import { AllSettings, type Setting, type Settings } from './mam/settings.ts'
import { roster } from './roster.ts'

/** What a client that does not read what was sent before gets at once: enough to go on. */
const LAGGING_BYTES = 16_384

/** Lets the devices of an account read what it has sent and received, and the account say what is kept and how long. */
export const mam = defineModule({
  name: 'mam',
  summary: 'Lets every device read the messages of its account, and the account say which are kept and how long.',
  xeps: {
    'XEP-0059': '1.0',
    'XEP-0313': '1.1.3',
    'XEP-0424': '0.4.2',
    'XEP-0431': '0.2.0',
    'XEP-0441': '0.2.0',
    'XEP-0466': '0.1.0',
  },
  features: {
    // COMPAT(Profanity 0.13): it asks domains and their services alone, never its own account, and reads no history where none of them has it.
    server: [NS_MAM, NS_RETRACT],
    account: [
      NS_MAM,
      `${NS_MAM}#extended`,
      `${NS_MAM}#groupchat-field`,
      NS_RSM,
      NS_STANZA_ID,
      NS_FULLTEXT,
      NS_RETRACT,
      `${NS_RETRACT}#tombstone`,
    ],
  },
  config: {
    defaultPage: integer({
      default: 50,
      min: 1,
      max: 1_000,
      doc: 'How many messages a client gets at once that does not say how many it wants.',
    }),
    maxPage: integer({ default: 250, min: 1, max: 1_000, doc: 'How many messages a client gets at once at most.' }),
    maxPageBytes: bytes('256 KiB', {
      min: '16 KiB',
      max: '4 MiB',
      doc: 'How large they may be together; a single one may be larger.',
    }),
    maxPreferences: integer({
      default: 1_000,
      min: 1,
      doc: 'How many addresses an account may name whose messages it wants archived, or not.',
    }),
  },
  stores: { settings: documents<Setting>(), endings: documents<Ending>() },
  needs: { roster, commands },

  start({ config, stores, needs, ledger, delivery, router, clock, log, metrics, isHere, isAlone, callHome }) {
    const pages = metrics.counter('archive_pages_total', 'Pages of archives that were sent.')
    const messages = metrics.counter('archive_messages_total', 'Messages in pages of archives.')
    const settings = new AllSettings(stores.settings, clock)
    const endings = new Endings({ store: stores.endings, entries: ledger, clock, log, isAlone })

    const decide = ({ keep, choice }: Settings, owner: BareJid, { from, to }: Stanza): Archiving | Promise<Archiving> => {
      if (keep === 'until-delivered') return 'transient'
      // XEP-0441 §2.3.2, §2.3.3
      const target = from?.bare === owner ? (to ?? from) : from
      if (choice === undefined || target === undefined) return 'archive'
      const isCovered = choice.covers(target, (jid) => needs.roster.isKnown(owner, jid))
      return isCovered instanceof Promise ? isCovered.then(archiving) : archiving(isCovered)
    }
    ledger.archiving = (owner, _, message) => {
      const said = settings.of(owner)
      return said instanceof Promise ? said.then((now) => decide(now, owner, message)) : decide(said, owner, message)
    }
    ledger.retentionOf = async (account) => {
      const { keep } = await (isHere(account) ? settings.of(account) : settings.readAway(account))
      return keep === undefined ? undefined : capped(keep, ledger.retention)
    }

    const isAccount = (address: Address): boolean => address.localpart !== '' && router.isLocal(address)
    const takeBack = async (retraction: Retraction): Promise<void> => {
      if ((await retract(ledger, retraction, clock.nowMs())) || !isAccount(retraction.from)) return
      await callHome(retraction.from.bare, 'mam.retracted', toText(retraction.stanza.restamp({ to: retraction.to }).wire))
    }
    const whenOver = async (entry: number, stanza: Stanza, from: Address, to: Address): Promise<void> => {
      const timerMs = timerOf(stanza)
      // What the server keeps for a shorter time anyway needs no timer.
      if (timerMs === undefined || (ledger.retention !== 'until-delivered' && timerMs > ledger.retention)) return
      const owners = isAccount(from) && from.bare !== to.bare ? [to.bare, from.bare] : [to.bare]
      await endings.add({ id: entry, owners }, clock.nowMs() + timerMs)
    }

    const query = async ({ payload, fromAddress, to, session }: IqRequest) => {
      // Results are messages, which only a session of the account's own can be sent.
      if (session === undefined) throw new StanzaError('forbidden')
      const asked = readQuery(payload, config)
      const maxBytes = session.outlet.isLagging ? LAGGING_BYTES : config.maxPageBytes
      const page = await new Archive(ledger, to).page(asked, maxBytes)
      const { entries } = page
      delivery.show(session, asked.isFlipped ? entries.toReversed() : entries, resultsFor(fromAddress, asked.queryId))
      pages.add()
      messages.add(entries.length)
      return finElement(page)
    }

    needs.commands.register(keepCommand(settings, ledger.retention))
    endings.start()
    return {
      iq: [
        onSet(NS_MAM, 'query', 'own', query),
        onGet(NS_MAM, 'query', 'own', () => QUERY_FORM),
        onGet(NS_MAM, 'metadata', 'own', async ({ to }) => metadataElement(await ledger.ends(to))),
        onGet(NS_MAM, 'prefs', 'own', async ({ to }) => preferencesElement((await settings.of(to)).preferences ?? EVERYTHING)),
        onSet(NS_MAM, 'prefs', 'own', async ({ payload, to }) => {
          const preferences = readPreferences(payload, config.maxPreferences)
          await settings.put(to, { kind: 'preferences', preferences })
          return preferencesElement(preferences)
        }),
      ],
      // XEP-0386 §3.2.1: what is read sees what was there when it was asked for, and nothing that came later.
      bind2: [
        atBind2(({ account }) => {
          const ends = ledger.ends(account)
          return ends instanceof Promise ? ends.then(metadataElement) : metadataElement(ends)
        }),
      ],
      hooks: [
        // Read while the client is told its JID, so that its first message needs no promise.
        observe('session-started', ({ session }) => {
          const read = settings.of(session.account)
          return read instanceof Promise ? read.then(() => undefined) : undefined
        }),
        observe('account-deleted', ({ account }) => settings.forget(account)),
        observe('account-left', ({ account }) => settings.leave(account)),
        observe('inbound', (passage) => (passage.entry === undefined ? undefined : takeBack(passage)), {
          kind: 'message',
          namespace: NS_RETRACT,
        }),
        observe(
          'inbound',
          ({ entry, stanza, from, to }) => (entry === undefined ? undefined : whenOver(entry, stanza, from, to)),
          { kind: 'message', namespace: NS_EPHEMERAL },
        ),
      ],
      calls: [
        {
          name: 'retracted',
          async handle(_, retraction): Promise<undefined> {
            const stanza = parseStanza(toWire(retraction))
            const { from, to } = stanza
            if (from !== undefined && to !== undefined) await retractOwn(ledger, { stanza, from, to }, clock.nowMs())
          },
        },
      ],
      stop() {
        ledger.archiving = undefined
        ledger.retentionOf = undefined
        endings.stop()
      },
    }
  },
})

const archiving = (isCovered: boolean): Archiving => (isCovered ? 'archive' : 'transient')
