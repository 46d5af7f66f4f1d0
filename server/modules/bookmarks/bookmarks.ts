import type { Element } from '#stanzas/element.ts'
import { el } from '#stanzas/element.ts'
import { parseElement } from '#stanzas/element-reader.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import { toText, toWire } from '#stanzas/wire.ts'
import type { Documents } from '#storage/shapes.ts'
import type { PepApi } from '../pep.ts'
import type { PrivateXmlApi } from '../private-xml.ts'
import type { Draft, HostProfile, NodeConfig, Publication, PubsubApi, PubsubEvent } from '../pubsub.ts'
import {
  type Bookmark,
  isConference,
  isSame,
  merged,
  NS_BOOKMARKS,
  NS_STORAGE,
  type OldList,
  readStorage,
  roomOf,
  toStorage,
} from './conference.ts'

const NS_PUBSUB_ERRORS = 'http://jabber.org/protocol/pubsub#errors'
/** The item of the old list, and the document of what else is in it. */
const CURRENT = 'current'
/** Accounts that are known to have both nodes the same; others are looked at when they ask. */
const MAX_PREPARED = 10_000

const refusal = (condition: StanzaErrorCondition, detail: string): StanzaError =>
  new StanzaError(condition, { extra: el(NS_PUBSUB_ERRORS, detail) })

/** What an account's bookmarks are kept by. */
export interface BookmarksParts {
  readonly pubsub: PubsubApi
  readonly pep: PepApi
  readonly privateXml: PrivateXmlApi
  readonly others: Documents<readonly string[]>
  readonly onFailure: (account: BareJid, error: unknown) => void
}

/** A list in the old form that is being written. */
interface Writing {
  /** Items that it removes. */
  readonly leaving: ReadonlySet<string>
}

/**
 * One truth, the items of the node of XEP-0402, and two other faces of it. The old node holds a copy of the list, so that events, last items and rights are the
 * engine's business; it is written again whenever the truth changes (`#copy`), by a publication whose content the guard of the old node makes in that node's turn.
 * A list that a client publishes there becomes changes of the truth first, in the same guard. Private XML is read from the truth and written through the old node.
 */
export class Bookmarks {
  readonly #parts: BookmarksParts
  readonly #prepared = new Set<BareJid>()
  readonly #writing = new Map<BareJid, Writing>()
  /** Copies under way; `again`: the truth has changed since. */
  readonly #copying = new Map<BareJid, { done: Promise<void>; again: boolean }>()

  constructor(parts: BookmarksParts) {
    this.#parts = parts
  }

  // ---- the node of XEP-0402

  /** Refuses what is no bookmark, and what the old list would have no room for. */
  async check({ profile, node, drafts }: Publication): Promise<readonly Draft[]> {
    // XEP-0402 §2: the id is the room's JID.
    for (const { id, payload } of drafts)
      if (!isConference(payload) || roomOf(id ?? '') === undefined) throw refusal('bad-request', 'invalid-payload')
    const { bare } = profile.address
    const list = new Map((await this.#bookmarks(bare)).map((bookmark) => [bookmark.id, bookmark]))
    for (const id of this.#writing.get(bare)?.leaving ?? []) list.delete(id)
    for (const { id, payload } of drafts) if (id !== undefined && payload !== undefined) list.set(id, { id, conference: payload })
    // A full list forgets nothing by itself, unless its owner configured it to be short.
    if (list.size > profile.limits.itemsPerNode && (node === undefined || isLong(node.config, profile)))
      throw refusal('conflict', 'node-full')
    const storage = toStorage([...list.values()], await this.#othersOf(bare))
    if (sizeOf(storage) > profile.limits.payloadBytes) throw refusal('not-acceptable', 'payload-too-big')
    return drafts
  }

  changed({ profile, by }: PubsubEvent): void {
    const account = profile.address
    // A list that is being written is its own copy.
    if (by.resourcepart === '' && this.#writing.has(account.bare)) return
    void this.#copy(account)
  }

  // ---- the node of XEP-0048

  /** A list in the old form: of a client, which is taken into the truth, or of this server, which is made from it. */
  async takeOld({ profile, drafts, by }: Publication): Promise<readonly Draft[]> {
    const account = profile.address
    if (by.jid !== account.jid) {
      const [draft] = drafts
      const list = drafts.length === 1 ? readStorage(draft?.payload) : undefined
      if (list === undefined) throw refusal('bad-request', 'invalid-payload')
      await this.#write(profile, list)
    }
    return [{ id: CURRENT, payload: await this.#storage(account.bare) }]
  }

  /** What is removed there says nothing of the bookmarks; the list comes back when it is asked for. */
  oldChanged(event: PubsubEvent): void {
    if (event.kind !== 'published') this.#prepared.delete(event.profile.address.bare)
  }

  /** XEP-0402 §5.3.2: what differs is published or retracted, and nothing else. */
  async #write(profile: HostProfile, { conferences, others }: OldList): Promise<void> {
    const { bare } = profile.address
    if (sizeOf(toStorage([], [...conferences.values(), ...others])) > profile.limits.payloadBytes)
      throw refusal('not-acceptable', 'payload-too-big')
    const kept = await this.#bookmarks(bare)
    const leaving = kept.filter(({ id }) => !conferences.has(roomOf(id) ?? bare)).map(({ id }) => id)
    const drafts = changesOf(kept, conferences)
    const room = kept.length - leaving.length + drafts.filter(({ id }) => !kept.some((each) => each.id === id)).length
    if (room > profile.limits.itemsPerNode) throw refusal('conflict', 'node-full')

    this.#prepared.delete(bare)
    this.#writing.set(bare, { leaving: new Set(leaving) })
    try {
      // Behind what is added, so that a failure in between loses nothing; but what has no room beside them goes first.
      const isTight = room + leaving.length > profile.limits.itemsPerNode
      if (isTight) await this.#retract(profile, leaving)
      await this.#publish(profile, drafts)
      if (!isTight) await this.#retract(profile, leaving)
      await this.#keepOthers(bare, others)
    } finally {
      this.#writing.delete(bare)
    }
    this.#markPrepared(bare)
  }

  async #publish(profile: HostProfile, drafts: readonly Draft[]): Promise<void> {
    if (drafts.length === 0) return
    await this.#makePrivate(profile, NS_BOOKMARKS)
    await this.#parts.pubsub.publish(profile, NS_BOOKMARKS, drafts)
  }

  async #retract(profile: HostProfile, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#parts.pubsub.retract(profile, NS_BOOKMARKS, ids, { notify: true })
  }

  /** XEP-0411 §5: nobody but the account may read what was private until now. */
  async #makePrivate(profile: HostProfile, name: string): Promise<void> {
    const node = await this.#parts.pubsub.node(profile.address.bare, name)
    if (node === undefined || (node.config.accessModel === 'whitelist' && node.config.persistItems)) return
    await this.#parts.pubsub.configure(profile, name, { accessModel: 'whitelist', persistItems: true })
  }

  // ---- private XML

  async readPrivate(account: Address): Promise<readonly Element[]> {
    await this.prepare(account, false)
    return [await this.#storage(account.bare)]
  }

  /** XEP-0411 §3: those who listen to the old node are told. */
  async writePrivate(account: Address, elements: readonly Element[], by: Address): Promise<void> {
    const [payload] = elements
    const list = elements.length === 1 ? readStorage(payload) : undefined
    if (list === undefined) throw new StanzaError('bad-request')
    await this.prepare(account, false)
    const profile = this.#parts.pep.profileOf(account)
    if (await this.#says(account.bare, list)) return
    await this.#makePrivate(profile, NS_STORAGE)
    await this.#parts.pubsub.publish(profile, NS_STORAGE, [{ id: CURRENT, payload }], { by })
  }

  /** Whether everything in the list is known, and nothing else. */
  async #says(account: BareJid, { conferences, others }: OldList): Promise<boolean> {
    const kept = await this.#bookmarks(account)
    if (kept.length !== conferences.size || changesOf(kept, conferences).length > 0) return false
    return textsOf(others).join('') === textsOf(await this.#othersOf(account)).join('')
  }

  // ---- both the same

  /** Resolves when what was kept elsewhere before has been taken in; for those who ask for the old list, when that is as the truth is now. */
  prepare(account: Address, wantsOld: boolean): undefined | Promise<undefined> {
    const { bare } = account
    if (!this.#prepared.has(bare)) return this.#unify(account).then(() => undefined)
    return wantsOld ? this.#copying.get(bare)?.done.then(() => undefined) : undefined
  }

  async #unify(account: Address): Promise<void> {
    const { bare } = account
    const { privateXml, pubsub } = this.#parts
    const profile = this.#parts.pep.profileOf(account)
    const before = readStorage((await privateXml.kept(bare, NS_STORAGE, 'storage'))[0])
    if (before !== undefined) await this.#adopt(profile, before)
    if ((await pubsub.node(bare, NS_BOOKMARKS)) === undefined) {
      const list = readStorage(await this.#oldPayload(bare))
      if (list !== undefined) await this.#adopt(profile, list)
    }
    if (before !== undefined) await privateXml.forget(bare, NS_STORAGE, 'storage')
    await this.#copy(account)
  }

  /** Adds what is not known yet. */
  async #adopt(profile: HostProfile, { conferences, others }: OldList): Promise<void> {
    const { bare } = profile.address
    const known = new Set((await this.#bookmarks(bare)).map(({ id }) => roomOf(id)))
    const added = [...conferences].filter(([room]) => !known.has(room))
    const texts = textsOf(await this.#othersOf(bare))
    const more = others.filter((element) => !texts.includes(textOf(element)))
    if (more.length > 0) await this.#keepOthers(bare, [...(await this.#othersOf(bare)), ...more])
    await this.#publish(
      profile,
      added.map(([id, entry]) => ({ id, payload: merged(undefined, entry) })),
    )
  }

  /** Writes the old list again; once more when the truth changes meanwhile, however often it does. */
  #copy(account: Address): Promise<void> {
    const { bare } = account
    const underWay = this.#copying.get(bare)
    if (underWay !== undefined) {
      underWay.again = true
      return underWay.done
    }
    const copying = { done: Promise.resolve(), again: true }
    this.#copying.set(bare, copying)
    copying.done = this.#copyWhile(account, copying).finally(() => this.#copying.delete(bare))
    return copying.done
  }

  async #copyWhile(account: Address, copying: { again: boolean }): Promise<void> {
    try {
      while (copying.again) {
        copying.again = false
        await this.#copyOnce(account)
      }
      this.#markPrepared(account.bare)
    } catch (error) {
      this.#prepared.delete(account.bare)
      this.#parts.onFailure(account.bare, error)
    }
  }

  async #copyOnce(account: Address): Promise<void> {
    const { pubsub, pep } = this.#parts
    const storage = await this.#storage(account.bare)
    const old = await this.#oldPayload(account.bare)
    if (old === undefined ? storage.children.length === 0 : textOf(old) === textOf(storage)) return
    const profile = pep.profileOf(account)
    await this.#makePrivate(profile, NS_STORAGE)
    await pubsub.publish(profile, NS_STORAGE, [{ id: CURRENT, payload: storage }])
  }

  forget(account: BareJid): void {
    this.#prepared.delete(account)
  }

  #markPrepared(account: BareJid): void {
    this.#prepared.add(account)
    if (this.#prepared.size <= MAX_PREPARED) return
    for (const oldest of this.#prepared) {
      this.#prepared.delete(oldest)
      return
    }
  }

  // ---- what is kept

  async #storage(account: BareJid): Promise<Element> {
    return toStorage(await this.#bookmarks(account), await this.#othersOf(account))
  }

  async #bookmarks(account: BareJid): Promise<readonly Bookmark[]> {
    const items = await this.#parts.pubsub.items(account, NS_BOOKMARKS)
    return items.flatMap(({ id, payload }) => (isConference(payload) ? [{ id, conference: payload }] : []))
  }

  async #oldPayload(account: BareJid): Promise<Element | undefined> {
    return (await this.#parts.pubsub.items(account, NS_STORAGE, { max: 1 }))[0]?.payload
  }

  async #othersOf(account: BareJid): Promise<readonly Element[]> {
    return ((await this.#parts.others.get(account, CURRENT)) ?? []).map((text) => parseElement(toWire(text)))
  }

  async #keepOthers(account: BareJid, others: readonly Element[]): Promise<void> {
    const { others: store } = this.#parts
    const texts = textsOf(others)
    if (texts.join('') === textsOf(await this.#othersOf(account)).join('')) return
    if (texts.length === 0) await store.delete(account, CURRENT)
    else await store.put(account, CURRENT, texts)
  }
}

/** What is to be published so that the bookmarks say what the list says; what it lacks is not among them. */
const changesOf = (
  kept: readonly Bookmark[],
  conferences: OldList['conferences'],
): readonly (Draft & { readonly id: string })[] => {
  const byRoom = new Map(kept.toReversed().map((bookmark) => [roomOf(bookmark.id), bookmark]))
  return [...conferences].flatMap(([room, entry]) => {
    const bookmark = byRoom.get(room)
    const payload = merged(bookmark?.conference, entry)
    if (bookmark !== undefined && isSame(bookmark, payload)) return []
    return [{ id: bookmark?.id ?? room, payload }]
  })
}

const isLong = ({ maxItems }: NodeConfig, { limits }: HostProfile): boolean =>
  maxItems === 'max' || maxItems >= limits.itemsPerNode

const textOf = (element: Element): string => toText(serialize(element, ''))
const textsOf = (elements: readonly Element[]): readonly string[] => elements.map(textOf)
const sizeOf = (element: Element): number => serialize(element, '').length
