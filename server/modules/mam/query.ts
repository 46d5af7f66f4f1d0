import { booleanOf, type DataForm, firstValueOf, formTypeOf, readForm, valuesOf } from '#stanzas/data-form.ts'
import { parseDateTime } from '#stanzas/datetime.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, parseJid } from '#stanzas/jid.ts'
import { NS_DATA_FORMS } from '#stanzas/namespaces.ts'
import { readRsm } from '#stanzas/rsm.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { textToLogId } from '#stanzas/stanza-id.ts'
import type { LogId } from '#storage/shapes.ts'

/** XEP-0313 §10.1 */
export const NS_MAM = 'urn:xmpp:mam:2'
/** XEP-0431 §2.1 */
export const NS_FULLTEXT = 'urn:xmpp:fulltext:0'
const NS_VALIDATE = 'http://jabber.org/protocol/xdata-validate'

/** XEP-0431 §3.1 */
const FULLTEXT = `{${NS_FULLTEXT}}fulltext`
const FIELDS: ReadonlySet<string> = new Set([
  'FORM_TYPE',
  'with',
  'start',
  'end',
  'before-id',
  'after-id',
  'ids',
  'include-groupchat',
  FULLTEXT,
])

/** It is repeated in every result, so its length counts as many times. */
const MAX_QUERY_ID = 256
/** Longer than anything people look for. */
const MAX_WORDS = 1_000

/** What a client wants to see of its archive. */
export interface ArchiveQuery {
  /** The client's name for the query (XEP-0313 §4). */
  readonly queryId: string | undefined
  readonly with: Address | undefined
  readonly fromMs: number | undefined
  readonly untilMs: number | undefined
  readonly words: string | undefined
  /** Only these. */
  readonly ids: readonly LogId[] | undefined
  /** Bounds of what is wanted (XEP-0313 §4.1.3); both excluded. */
  readonly afterId: LogId | undefined
  readonly beforeId: LogId | undefined
  /** Bounds of the page (XEP-0059 §2.2, §2.3); both excluded. */
  readonly after: LogId | undefined
  readonly before: LogId | undefined
  /** The page is at the end of all that is wanted, and not at the beginning. */
  readonly isBackwards: boolean
  /** The newest comes first within the page (XEP-0313 §4.3.4). */
  readonly isFlipped: boolean
  readonly max: number
}

/** How much may be asked for. */
export interface QueryLimits {
  readonly defaultPage: number
  readonly maxPage: number
}

const badRequest = (text: string): StanzaError => new StanzaError('bad-request', { text })

/** XEP-0313 §4.1.3, §4.3.2: what cannot be an id is the id of nothing. */
const idOf = (text: string): LogId => {
  const id = textToLogId(text)
  if (id === undefined) throw new StanzaError('item-not-found')
  return id
}

/** XEP-0004 §3.3: a field that was left empty is not filled in. */
const filled = <T>(form: DataForm | undefined, name: string, read: (text: string) => T): T | undefined => {
  const text = form && firstValueOf(form, name)?.trim()
  return text === undefined || text === '' ? undefined : read(text)
}

const timeOf = (text: string): number => {
  const atMs = parseDateTime(text)
  if (atMs === undefined) throw badRequest(`${text.slice(0, 100)} is no time of XEP-0082`)
  return atMs
}

const addressOf = (text: string): Address => {
  const address = parseJid(text)
  if (address === undefined) throw new StanzaError('jid-malformed')
  return address
}

const shortWords = (text: string): string => {
  if (text.length > MAX_WORDS)
    throw new StanzaError('policy-violation', { text: `at most ${MAX_WORDS} characters are looked for` })
  return text
}

const formOf = (query: Element): DataForm | undefined => {
  const x = query.getChild('x', NS_DATA_FORMS)
  if (x === undefined) return undefined
  const form = readForm(x)
  if (form?.type !== 'submit') throw badRequest('the form is not a submitted one')
  if (formTypeOf(form) !== NS_MAM) throw badRequest(`the FORM_TYPE is not ${NS_MAM}`)
  // XEP-0313 §4.1.5
  const unknown = form.fields.find((field) => !FIELDS.has(field.var))
  if (unknown !== undefined)
    throw new StanzaError('feature-not-implemented', { text: `there is no field ${unknown.var.slice(0, 100)}` })
  // XEP-0313 §4.1.4: an account's archive holds no groupchat, so either answer gives the same.
  if (valuesOf(form, 'include-groupchat').length > 0 && booleanOf(form, 'include-groupchat') === undefined)
    throw badRequest('include-groupchat is true or false')
  return form
}

const idsOf = (form: DataForm | undefined, limits: QueryLimits): readonly LogId[] | undefined => {
  const written = form === undefined ? [] : valuesOf(form, 'ids').filter((text) => text !== '')
  if (written.length === 0) return undefined
  if (written.length > limits.maxPage)
    throw new StanzaError('policy-violation', { text: `at most ${limits.maxPage} ids are looked up at once` })
  return [...new Set(written.map(idOf))].sort((a, b) => a - b)
}

/** Reads a query (XEP-0313 §4); throws what its sender is told about one that cannot be answered. */
export const readQuery = (query: Element, limits: QueryLimits): ArchiveQuery => {
  // XEP-0313 §6.1.3: a node has an archive of its own, and accounts have none.
  if (query.attrs.node !== undefined) throw new StanzaError('feature-not-implemented')
  const queryId = query.attrs.queryid
  if (queryId !== undefined && queryId.length > MAX_QUERY_ID)
    throw new StanzaError('policy-violation', { text: `a queryid has at most ${MAX_QUERY_ID} characters` })
  const rsm = readRsm(query)
  if (rsm === undefined) throw badRequest('max and index are numbers')
  // XEP-0059 §2.6
  if (rsm.index !== undefined) throw new StanzaError('feature-not-implemented')
  const form = formOf(query)
  return {
    queryId,
    with: filled(form, 'with', addressOf),
    fromMs: filled(form, 'start', timeOf),
    untilMs: filled(form, 'end', timeOf),
    words: filled(form, FULLTEXT, shortWords),
    ids: idsOf(form, limits),
    afterId: filled(form, 'after-id', idOf),
    beforeId: filled(form, 'before-id', idOf),
    after: rsm.after === undefined ? undefined : idOf(rsm.after),
    before: rsm.before === undefined || rsm.before === '' ? undefined : idOf(rsm.before),
    isBackwards: rsm.before !== undefined,
    isFlipped: query.getChild('flip-page') !== undefined,
    max: Math.min(rsm.max ?? limits.defaultPage, limits.maxPage),
  }
}

const field = (name: string, type: string, ...children: readonly Element[]): Element =>
  el(NS_DATA_FORMS, 'field', { type, var: name }, ...children)

/** The fields a query may have (XEP-0313 §4.1.5). */
export const QUERY_FORM: Element = el(
  NS_MAM,
  'query',
  {},
  el(
    NS_DATA_FORMS,
    'x',
    { type: 'form' },
    field('FORM_TYPE', 'hidden', el(NS_DATA_FORMS, 'value', {}, NS_MAM)),
    field('with', 'jid-single'),
    field('start', 'text-single'),
    field('end', 'text-single'),
    field('before-id', 'text-single'),
    field('after-id', 'text-single'),
    field('ids', 'list-multi', el(NS_VALIDATE, 'validate', { datatype: 'xs:string' }, el(NS_VALIDATE, 'open'))),
    field('include-groupchat', 'boolean'),
    field(FULLTEXT, 'text-single'),
  ),
)
