import { bytes, integer } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule, onGet, onSet } from '#server/core/module.ts'
import { type Element, el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import { documents } from '#storage/shapes.ts'

const NS_PRIVATE = 'jabber:iq:private'

/** The elements of one name and namespace, as text. */
type Fragment = readonly string[]

const keyOf = ({ ns, name }: Element): string => `${ns} ${name}`

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

    return {
      iq: [
        onGet(NS_PRIVATE, 'query', 'own', async ({ payload, to: account }) => {
          const asked = payload.getChildren()
          // XEP-0049 §2.3: one namespace in a request, and at least that.
          if (asked.length === 0 || new Set(asked.map(({ ns }) => ns)).size > 1) throw new StanzaError('bad-request')
          const found: Element[] = []
          // What is asked for twice is answered once: asking is cheap, and the answer may be large.
          const wanted = new Map(asked.map((element) => [keyOf(element), element]))
          for (const element of wanted.values()) {
            const kept = (await stores.fragments.get(account, keyOf(element))) ?? []
            // Clients count on it: what was never set is empty, and no error.
            if (kept.length === 0) found.push(el(element.ns, element.name))
            for (const text of kept) found.push(parseElement(toWire(text)))
          }
          return el(NS_PRIVATE, 'query', {}, ...found)
        }),
        onSet(NS_PRIVATE, 'query', 'own', async ({ payload, to: account }) => {
          const elements = payload.getChildren()
          // XEP-0049 §2.3: at least one, and each with a namespace of its own.
          if (elements.length === 0 || elements.some(({ ns }) => ns === NS_PRIVATE || ns === ''))
            throw new StanzaError('not-acceptable')
          const fragments = write(elements)
          await check(account, fragments)
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
