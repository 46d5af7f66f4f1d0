import { bytes, integer } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule, onGet, onSet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'

const NS_PRIVATE = 'jabber:iq:private'

/** The elements of one name and namespace, as text. */
type Fragment = readonly string[]

/** What reads and writes the elements of one name and namespace in another way. */
export interface PrivateKeeper {
  /** Nothing when none was set. */
  read(account: Address): Promise<readonly Element[]>
  /** Replaces all of them; a thrown `StanzaError` is the answer. */
  write(account: Address, elements: readonly Element[], by: Address): Promise<void>
}

/** What modules may do with private XML. */
export interface PrivateXmlApi {
  /** Hands the elements of this name and namespace to a keeper. */
  delegate(ns: string, name: string, keeper: PrivateKeeper): void
  /** What was kept here before it had a keeper. */
  kept(account: BareJid, ns: string, name: string): Promise<readonly Element[]>
  /** Removes that. */
  forget(account: BareJid, ns: string, name: string): Promise<void>
}

const keyOf = ({ ns, name }: { readonly ns: string; readonly name: string }): string => `${ns} ${name}`

/** Keeps what an account's clients want to find again on every device. */
export const privateXml = defineModule({
  name: 'private-xml',
  summary: 'Keeps notes and settings of clients, for the own account only.',
  xeps: { 'XEP-0049': '1.2' },
  features: { server: [NS_PRIVATE] },
  config: {
    maxBytes: bytes('128 KiB', { min: '1 KiB', doc: 'How large the elements of one name and namespace may be together.' }),
    maxDocuments: integer({ default: 100, min: 1, doc: 'How many names of elements an account may use.' }),
  },
  stores: { fragments: documents<Fragment>() },

  start({ config, stores }) {
    const write = (elements: readonly Element[]): Map<string, Fragment> => {
      const fragments = new Map<string, string[]>()
      for (const element of elements) {
        const key = keyOf(element)
        const text = toText(serialize(element, ''))
        const fragment = fragments.get(key)
        if (fragment === undefined) fragments.set(key, [text])
        else fragment.push(text)
      }
      return fragments
    }
    const check = async (account: string, fragments: ReadonlyMap<string, Fragment>): Promise<void> => {
      for (const fragment of fragments.values())
        if (fragment.reduce((sum, text) => sum + Buffer.byteLength(text), 0) > config.maxBytes)
          throw new StanzaError('policy-violation', { text: `at most ${config.maxBytes} bytes are kept of each` })
      const known = await Promise.all([...fragments.keys()].map((key) => stores.fragments.get(account, key)))
      const added = known.filter((fragment) => fragment === undefined).length
      if (added > 0 && (await stores.fragments.list(account)).length + added > config.maxDocuments)
        throw new StanzaError('policy-violation', { text: `at most ${config.maxDocuments} are kept` })
    }

    const keepers = new Map<string, PrivateKeeper>()
    const kept = async (account: string, key: string): Promise<readonly Element[]> =>
      ((await stores.fragments.get(account, key)) ?? []).map((text) => parseElement(toWire(text)))
    const api: PrivateXmlApi = {
      delegate: (ns, name, keeper) => void keepers.set(keyOf({ ns, name }), keeper),
      kept: (account, ns, name) => kept(account, keyOf({ ns, name })),
      async forget(account, ns, name) {
        await stores.fragments.delete(account, keyOf({ ns, name }))
      },
    }

    return {
      api,
      iq: [
        onGet(NS_PRIVATE, 'query', 'own', async ({ payload, to: account, toAddress }) => {
          const asked = payload.getChildren()
          // XEP-0049 §2.3: one namespace in a request, and at least that.
          if (asked.length === 0 || new Set(asked.map(({ ns }) => ns)).size > 1) throw new StanzaError('bad-request')
          const found: Element[] = []
          // What is asked for twice is answered once: asking is cheap, and the answer may be large.
          const wanted = new Map(asked.map((element) => [keyOf(element), element]))
          for (const element of wanted.values()) {
            const key = keyOf(element)
            const elements = (await keepers.get(key)?.read(toAddress)) ?? (await kept(account, key))
            // Clients count on it: what was never set is empty, and no error.
            if (elements.length === 0) found.push(el(element.ns, element.name))
            found.push(...elements)
          }
          return el(NS_PRIVATE, 'query', {}, ...found)
        }),
        onSet(NS_PRIVATE, 'query', 'own', async ({ payload, to: account, toAddress, fromAddress }) => {
          const elements = payload.getChildren()
          // XEP-0049 §2.3: at least one, and each with a namespace of its own.
          if (elements.length === 0 || elements.some(({ ns }) => ns === NS_PRIVATE || ns === ''))
            throw new StanzaError('not-acceptable')
          const fragments = write(elements.filter((element) => !keepers.has(keyOf(element))))
          await check(account, fragments)
          for (const [key, keeper] of keepers) {
            const delegated = elements.filter((element) => keyOf(element) === key)
            if (delegated.length > 0) await keeper.write(toAddress, delegated, fromAddress)
          }
          await stores.fragments.putAll(
            account,
            [...fragments].map(([key, value]) => ({ key, value })),
          )
          return undefined
        }),
      ],
      hooks: [observe('account-deleted', ({ account }) => stores.fragments.deleteOwner(account))],
    }
  },
})
