import { type Element, el } from '#stanzas/element.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { PepApi } from '../pep.ts'
import type { HostProfile, NodeConfig, NodeFacts, PubsubApi } from '../pubsub.ts'
import type { CardPart } from '../vcard.ts'
import {
  type Announced,
  announcedIn,
  dataElement,
  type Image,
  metadataElement,
  NS_DATA,
  NS_METADATA,
  readImage,
} from './image.ts'

const NS_VCARD = 'vcard-temp'
/** Cards are for everybody (XEP-0054 §3.3), and so are the nodes that a picture in a card makes. */
const NODE_CONFIG: Partial<NodeConfig> = { accessModel: 'open', persistItems: true }

/** A picture that is announced and there. */
export interface Avatar extends Announced {
  readonly data: Element
}

/**
 * Pictures are kept in nodes alone. A card shows the one that is there to whoever may read the nodes (XEP-0398 §5.2), and a picture in a card that is set is
 * published instead of being kept in it (§3.2). What is no picture by our lights stays in the card as it is.
 */
export class Pictures implements CardPart {
  readonly #pubsub: PubsubApi
  readonly #pep: PepApi

  constructor(parts: { readonly pubsub: PubsubApi; readonly pep: PepApi }) {
    this.#pubsub = parts.pubsub
    this.#pep = parts.pep
  }

  /** The nodes of an account, when it has both. */
  async nodes(account: BareJid): Promise<readonly [metadata: NodeFacts, data: NodeFacts] | undefined> {
    const metadata = await this.#pubsub.node(account, NS_METADATA)
    const data = metadata === undefined ? undefined : await this.#pubsub.node(account, NS_DATA)
    return metadata === undefined || data === undefined ? undefined : [metadata, data]
  }

  async current(account: BareJid): Promise<Avatar | undefined> {
    const announced = await this.announced(account)
    if (announced === undefined) return undefined
    const data = (await this.#pubsub.items(account, NS_DATA, { ids: [announced.id] }))[0]?.payload
    return data === undefined ? undefined : { ...announced, data }
  }

  async announced(account: BareJid): Promise<Announced | undefined> {
    return announcedIn((await this.#pubsub.items(account, NS_METADATA, { max: 1 }))[0]?.payload)
  }

  async show(account: Address, card: Element, asker: Address): Promise<Element> {
    const nodes = await this.nodes(account.bare)
    if (nodes === undefined) return card
    const profile = this.#pep.profileOf(account)
    // XEP-0398 §7
    for (const node of nodes) if (!(await this.#pubsub.mayRead(profile, node, asker.jid))) return card
    const avatar = await this.current(account.bare)
    const image = avatar && readImage(avatar.data.text(), avatar.type)
    return image?.hash === avatar?.hash && image !== undefined ? withPhoto(card, photoElement(image)) : card
  }

  async take(account: Address, card: Element, by: Address): Promise<Element> {
    const photo = card.getChild('PHOTO')
    const text = photo?.getChildText('BINVAL')?.trim() ?? ''
    const profile = this.#pep.profileOf(account)
    if (photo === undefined || (text === '' && photo.getChild('EXTVAL') === undefined)) {
      await this.#remove(profile, by)
      return withPhoto(card, undefined)
    }
    const image = readImage(text, photo.getChildText('TYPE'))
    if (image === undefined) return card
    await this.#publish(profile, image, by)
    return withPhoto(card, undefined)
  }

  async #publish(profile: HostProfile, image: Image, by: Address): Promise<void> {
    const data = dataElement(image)
    const { payloadBytes } = profile.limits
    if (serialize(data, '').length > payloadBytes)
      throw new StanzaError('policy-violation', { text: `a picture may have ${Math.floor((payloadBytes * 3) / 4)} bytes` })
    // Clients set the same card again and again, as when they log in.
    if ((await this.current(profile.address.bare))?.hash === image.hash) return
    await this.#put(profile, NS_DATA, image.hash, data, by)
    await this.#put(profile, NS_METADATA, image.hash, metadataElement(image), by)
  }

  /** XEP-0084 §3.5 */
  async #remove(profile: HostProfile, by: Address): Promise<void> {
    if ((await this.announced(profile.address.bare)) === undefined) return
    await this.#put(profile, NS_METADATA, undefined, metadataElement(undefined), by)
  }

  async #put(profile: HostProfile, node: string, id: string | undefined, payload: Element, by: Address): Promise<void> {
    const isThere = (await this.#pubsub.node(profile.address.bare, node)) !== undefined
    await this.#pubsub.publish(profile, node, [{ id, payload }], { by, ...(!isThere && { config: NODE_CONFIG }) })
  }
}

const photoElement = ({ type, base64 }: Image): Element =>
  el(NS_VCARD, 'PHOTO', {}, el(NS_VCARD, 'TYPE', {}, type), el(NS_VCARD, 'BINVAL', {}, base64))

const withPhoto = (card: Element, photo: Element | undefined): Element => {
  const others = card.children.filter((child) => typeof child === 'string' || child.name !== 'PHOTO' || child.ns !== NS_VCARD)
  // White space alone is no card.
  const isEmpty = photo === undefined && others.every((child) => typeof child === 'string')
  return el(card.ns, card.name, card.attrs, ...(isEmpty ? [] : others), photo)
}
