import { type Element, el } from './element.ts'

/** XEP-0059 §7.1 */
export const NS_RSM = 'http://jabber.org/protocol/rsm'

/** The schema's xs:int. */
const MAX_INT = 2 ** 31 - 1

/** Which part of a result set is wanted (XEP-0059 §2). */
export interface RsmRequest {
  /** The largest page; 0 asks for the count alone (§2.7). */
  readonly max: number | undefined
  /** The page begins behind this item. */
  readonly after: string | undefined
  /** The page ends in front of this item; `''` asks for the last page (§2.5). */
  readonly before: string | undefined
  /** The page begins at this place of the whole set (§2.6). */
  readonly index: number | undefined
}

/** What a page is of the whole result set (XEP-0059 §2.2). */
export interface RsmPage {
  readonly first?: string | undefined
  readonly last?: string | undefined
  /** The place of the first item in the whole set. */
  readonly index?: number | undefined
  /** How many items the whole set has. */
  readonly count?: number | undefined
}

const NOTHING_SAID: RsmRequest = { max: undefined, after: undefined, before: undefined, index: undefined }

/** `undefined` when it is not there, `false` when it is no number. */
const numberIn = (set: Element, name: string): number | undefined | false => {
  const text = set.getChildText(name)?.trim()
  if (text === undefined) return undefined
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_INT && Number(text)
}

/** Reads the `<set/>` in a request; one that is not there says nothing, a malformed one gives `undefined`. */
export const readRsm = (parent: Element): RsmRequest | undefined => {
  const set = parent.getChild('set', NS_RSM)
  if (set === undefined) return NOTHING_SAID
  const max = numberIn(set, 'max')
  const index = numberIn(set, 'index')
  if (max === false || index === false) return undefined
  // An empty <after/> comes before the first item, as if it were not there.
  const after = set.getChildText('after') || undefined
  return { max, after, before: set.getChildText('before'), index }
}

/** Builds the `<set/>` that tells which page this is (XEP-0059 §2.2). */
export const rsmElement = ({ first, last, index, count }: RsmPage): Element =>
  el(
    NS_RSM,
    'set',
    {},
    first === undefined ? undefined : el(NS_RSM, 'first', { index: index?.toString() }, first),
    last === undefined ? undefined : el(NS_RSM, 'last', {}, last),
    count === undefined ? undefined : el(NS_RSM, 'count', {}, count.toString()),
  )
