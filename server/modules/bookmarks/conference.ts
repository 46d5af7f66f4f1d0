import { Element, el } from '#stanzas/element.ts'
import { type BareJid, parseJid } from '#stanzas/jid.ts'
import { serialize } from '#stanzas/serialize.ts'

/** The node of XEP-0402, and the namespace of its payloads. */
export const NS_BOOKMARKS = 'urn:xmpp:bookmarks:1'
/** The one element and the node of XEP-0048. */
export const NS_STORAGE = 'storage:bookmarks'

/** A room that an account keeps, as an item of XEP-0402 says it. */
export interface Bookmark {
  readonly id: string
  readonly conference: Element
}

/** What a list in the old form says. */
export interface OldList {
  /** By room, each as it stands there. */
  readonly conferences: ReadonlyMap<BareJid, Element>
  /** Pages and whatever else XEP-0402 has no place for. */
  readonly others: readonly Element[]
}

const isTrue = (value: string | undefined): boolean => value === 'true' || value === '1'
const keyOf = ({ ns, name }: Element): string => `${ns} ${name}`

/** The room that an item or an entry of a list is about. */
export const roomOf = (jid: string): BareJid | undefined => parseJid(jid)?.bare

/** Whether this is what an item of XEP-0402 holds (§2). */
export const isConference = (payload: Element | undefined): payload is Element =>
  payload?.ns === NS_BOOKMARKS && payload.name === 'conference'

/**
 * XEP-0402 §5.3.1: the bookmark as an entry of the old list. What stands in its extensions stands in the entry itself, where clients of the old form put theirs
 * and look for it.
 */
export const toEntry = ({ id, conference }: Bookmark): Element => {
  const { jid: _, ...attrs } = conference.attrs
  return el(
    NS_STORAGE,
    'conference',
    { jid: id, ...attrs },
    ...['nick', 'password'].map((name) => textElement(NS_STORAGE, name, conference.getChildText(name))),
    // What would mean something else there stays where it is.
    ...extensionsOf(conference).filter(({ ns, name }) => ns !== NS_BOOKMARKS && (ns !== NS_STORAGE || !OWN.has(name))),
  )
}

const textElement = (ns: string, name: string, text: string | undefined): Element | undefined =>
  text === undefined ? undefined : el(ns, name, {}, ...(text === '' ? [] : [text]))

const extensionsOf = (conference: Element): readonly Element[] => conference.getChild('extensions')?.getChildren() ?? []

/** The old list of all bookmarks. */
export const toStorage = (bookmarks: readonly Bookmark[], others: readonly Element[]): Element =>
  el(NS_STORAGE, 'storage', {}, ...bookmarks.map(toEntry), ...others)

/** Reads a list in the old form; `undefined` when it is none. */
export const readStorage = (storage: Element | undefined): OldList | undefined => {
  if (storage?.ns !== NS_STORAGE || storage.name !== 'storage') return undefined
  const conferences = new Map<BareJid, Element>()
  const others: Element[] = []
  for (const child of storage.getChildren()) {
    if (child.ns !== NS_STORAGE || child.name !== 'conference') {
      others.push(child)
      continue
    }
    const room = roomOf(child.attrs.jid ?? '')
    if (room === undefined) return undefined
    conferences.set(room, child)
  }
  return { conferences, others }
}

/**
 * What becomes of a bookmark when an old client writes its entry: name, autojoin, nick and password are as the entry says; what else was kept stays, since
 * such clients leave out what they do not know (XEP-0402 §1), unless the entry has another one of it.
 */
export const merged = (kept: Element | undefined, entry: Element): Element => {
  const { jid: _, autojoin: wanted, ...said } = entry.attrs
  const autojoin = kept?.attrs.autojoin
  const joins = isTrue(wanted) === isTrue(autojoin) ? autojoin : isTrue(wanted) ? 'true' : undefined
  const old = kept?.getChild('extensions')
  const extensions = mergedExtensions(kept === undefined ? [] : extensionsOf(kept), entry)
  return el(
    NS_BOOKMARKS,
    'conference',
    { ...kept?.attrs, ...said, name: said.name, autojoin: joins },
    ...['nick', 'password'].map((name) => textElement(NS_BOOKMARKS, name, entry.getChildText(name))),
    extensions.length === 0 && old === undefined
      ? undefined
      : new Element(NS_BOOKMARKS, 'extensions', old?.attrs ?? {}, extensions),
    ...(kept?.getChildren().filter(({ ns, name }) => ns !== NS_BOOKMARKS || !OWN.has(name)) ?? []),
  )
}

const OWN: ReadonlySet<string> = new Set(['nick', 'password', 'extensions'])

const mergedExtensions = (kept: readonly Element[], entry: Element): readonly Element[] => {
  const said = Map.groupBy(
    entry.getChildren().flatMap((child) => {
      if (child.name === 'extensions' && (child.ns === NS_STORAGE || child.ns === NS_BOOKMARKS)) return child.getChildren()
      return child.ns === NS_STORAGE && OWN.has(child.name) ? [] : [child]
    }),
    keyOf,
  )
  const result = kept.flatMap((child) => {
    const instead = said.get(keyOf(child))
    return instead === undefined ? [child] : instead.splice(0, 1)
  })
  return [...result, ...[...said.values()].flat()]
}

/** Whether both say the same, white space and order of children aside. */
export const isSame = (bookmark: Bookmark, conference: Element): boolean =>
  serialize(merged(bookmark.conference, toEntry(bookmark)), '') === serialize(conference, '')
