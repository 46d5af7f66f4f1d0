import { text } from '#server/base/schema.ts'
import { defineModule, type IqRequest, onGet } from '#server/core/module.ts'
import type { DataForm } from '#stanzas/data-form.ts'
import { type DiscoInfo, discoInfoElement } from '#stanzas/disco-info.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Address, Jid } from '#stanzas/jid.ts'
import { NS_DISCO_INFO, NS_DISCO_ITEMS } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { roster } from './roster.ts'

/** What a node of the server tells about itself to this asker; `undefined` for a node that is not its own. */
export type InfoNode = (node: string, from: Jid) => DiscoInfo | undefined

/** An item of a node of the server. */
export interface NodeItem {
  readonly node: string
  readonly name: string
}
/** What is under a node of the server for this asker; `undefined` for a node that is not its own. */
export type ItemsNode = (node: string, from: Jid) => readonly NodeItem[] | undefined

/** What accounts have nodes for (XEP-0163 §6). Refuses by a `StanzaError` what there is not, or is not for this asker. */
export interface AccountNodes {
  info(account: Address, node: string, asker: Address): Promise<DiscoInfo>
  /** Without a node: the nodes. */
  items(account: Address, node: string | undefined, asker: Address): Promise<readonly Element[]>
}

/** What modules may add to the answers, and read of them. */
export interface DiscoApi {
  /** What the server tells about itself; the same object until that changes. */
  serverInfo(): DiscoInfo
  /** Adds a service to the server's items. */
  addItem(address: Address, name: string): void
  /** Adds a form to the server's info (XEP-0128). */
  addForm(form: DataForm): void
  /** Answers for nodes of the server. */
  addInfoNode(answer: InfoNode): void
  /** Lists what is under nodes of the server. */
  addItemsNode(answer: ItemsNode): void
  /** Answers for the nodes of every account. */
  addAccountNodes(nodes: AccountNodes): void
}

/** Tells what the server and its accounts are and can do. */
export const disco = defineModule({
  name: 'disco',
  summary: 'Tells clients what the server and its accounts are, what they can do, and which services there are.',
  xeps: { 'XEP-0030': '2.5.0', 'XEP-0128': '1.0.1' },
  features: { server: [NS_DISCO_INFO, NS_DISCO_ITEMS], account: [NS_DISCO_INFO, NS_DISCO_ITEMS] },
  config: { name: text({ default: 'Waxwing', doc: 'The name by which clients show this server.' }) },
  needs: { roster },

  start({ config, needs, registry, sessions }) {
    const items: Element[] = []
    const nodes: InfoNode[] = []
    const itemsNodes: ItemsNode[] = []
    const accountNodes: AccountNodes[] = []
    let serverInfo: DiscoInfo = {
      identities: [{ category: 'server', type: 'im', name: config.name }, ...registry.serverIdentities],
      features: registry.serverFeatures,
      forms: [],
    }
    const accountInfo: DiscoInfo = {
      identities: [{ category: 'account', type: 'registered' }, ...registry.accountIdentities],
      features: registry.accountFeatures,
      forms: [],
    }
    const api: DiscoApi = {
      serverInfo: () => serverInfo,
      addItem(address, name) {
        items.push(el(NS_DISCO_ITEMS, 'item', { jid: address.jid, name }))
      },
      addForm(form) {
        serverInfo = { ...serverInfo, forms: [...serverInfo.forms, form] }
      },
      addInfoNode(answer) {
        nodes.push(answer)
      },
      addItemsNode(answer) {
        itemsNodes.push(answer)
      },
      addAccountNodes(nodes) {
        accountNodes.push(nodes)
      },
    }

    const infoOfServer = ({ payload, from }: IqRequest): Element => {
      const node = payload.attrs.node
      if (node === undefined) return discoInfoElement(serverInfo)
      for (const answer of nodes) {
        const info = answer(node, from)
        if (info !== undefined) return discoInfoElement(info, node)
      }
      throw new StanzaError('item-not-found')
    }
    const infoOfAccount = async ({ payload, from, fromAddress, to: account, toAddress }: IqRequest): Promise<Element> => {
      const node = payload.attrs.node
      const info = node === undefined ? accountInfo : await infoOfNode(toAddress, node, fromAddress)
      // XEP-0030 §8, RFC 6121 §8.5.1: to strangers an account looks as if it did not exist, but for the nodes that it shows to everybody.
      if ((node === undefined || info === undefined) && !(await needs.roster.maySeePresence(from, account)))
        throw new StanzaError('service-unavailable')
      if (info === undefined) throw new StanzaError('item-not-found')
      return discoInfoElement(info, node)
    }
    const infoOfNode = async (account: Address, node: string, asker: Address): Promise<DiscoInfo | undefined> => {
      for (const nodes of accountNodes) {
        const info = await refusedAsNothing(nodes.info(account, node, asker))
        if (info !== undefined) return info
      }
      return undefined
    }
    const itemsOfServer = ({ payload, from, to }: IqRequest): Element => {
      const { node } = payload.attrs
      if (node === undefined) return el(NS_DISCO_ITEMS, 'query', {}, ...items)
      for (const answer of itemsNodes) {
        const found = answer(node, from)
        if (found === undefined) continue
        const listed = found.map((item) => el(NS_DISCO_ITEMS, 'item', { jid: to, node: item.node, name: item.name }))
        return el(NS_DISCO_ITEMS, 'query', { node }, ...listed)
      }
      throw new StanzaError('item-not-found')
    }
    const itemsOfAccount = async ({ payload, from, fromAddress, to: account, toAddress }: IqRequest): Promise<Element> => {
      const node = payload.attrs.node
      const maySee = await needs.roster.maySeePresence(from, account)
      let found: readonly Element[] | undefined
      if (maySee && node === undefined) found = sessions.available(account).map(({ jid }) => el(NS_DISCO_ITEMS, 'item', { jid }))
      for (const nodes of accountNodes) {
        const more = await refusedAsNothing(nodes.items(toAddress, node, fromAddress))
        if (more !== undefined) found = [...(found ?? []), ...more]
      }
      // XEP-0030 §8: strangers find nothing, with or without a node, whether or not there is such an account.
      if (found === undefined && maySee && node !== undefined) throw new StanzaError('item-not-found')
      return el(NS_DISCO_ITEMS, 'query', { node }, ...(found ?? []))
    }

    return {
      api,
      iq: [
        onGet(NS_DISCO_INFO, 'query', 'server', infoOfServer),
        onGet(NS_DISCO_INFO, 'query', 'account', infoOfAccount),
        onGet(NS_DISCO_ITEMS, 'query', 'server', itemsOfServer),
        onGet(NS_DISCO_ITEMS, 'query', 'account', itemsOfAccount),
      ],
    }
  },
})

const refusedAsNothing = <T>(asked: Promise<T>): Promise<T | undefined> =>
  asked.catch((error: unknown): undefined => {
    if (!(error instanceof StanzaError)) throw error
  })
