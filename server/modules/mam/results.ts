import type { Ends, EntryPlace } from '#server/core/archive-ends.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { Address } from '#stanzas/jid.ts'
import { NS_DELAY, NS_FORWARD } from '#stanzas/namespaces.ts'
import { rsmElement } from '#stanzas/rsm.ts'
import { message, type Stanza } from '#stanzas/stanza.ts'
import { logIdToText } from '#stanzas/stanza-id.ts'
import { escapeAttribute, wire } from '#stanzas/wire.ts'
import type { LogEntry } from '#storage/shapes.ts'
import type { Page } from './archive.ts'
import { NS_MAM } from './query.ts'

const START = '<message'

/**
 * Makes the results of one query (XEP-0313 §4.2). The bytes of an archived stanza are copied, never read: as they are kept they begin with `<message` and have
 * no namespace declared.
 */
export const resultsFor = (asker: Address, queryId: string | undefined): ((entry: LogEntry) => Stanza) => {
  const envelope = message({ from: asker.bareAddress, to: asker })
  const open = `<result xmlns='${NS_MAM}'${queryId === undefined ? '' : ` queryid='${escapeAttribute(queryId)}'`} id='`
  const forward = `'><forwarded xmlns='${NS_FORWARD}'><delay xmlns='${NS_DELAY}' stamp='`
  return ({ id, atMs, stanza }) =>
    envelope.restamp({
      append: wire(
        `${open}${logIdToText(id)}${forward}${formatDateTime(atMs)}'/>${START} xmlns='jabber:client'${stanza.slice(START.length)}</forwarded></result>`,
      ),
    })
}

/** Tells that all results have been sent, and which page they are (XEP-0313 §4.3.2). */
export const finElement = ({ entries, isComplete, count }: Page): Element => {
  const [first] = entries
  const last = entries.at(-1)
  return el(
    NS_MAM,
    'fin',
    { complete: isComplete ? 'true' : undefined },
    rsmElement({ first: first && logIdToText(first.id), last: last && logIdToText(last.id), count }),
  )
}

/** Where the archive begins and ends (XEP-0313 §5). */
export const metadataElement = (ends: Ends | undefined): Element => {
  if (ends === undefined) return el(NS_MAM, 'metadata')
  const place = (name: string, { id, atMs }: EntryPlace): Element =>
    el(NS_MAM, name, { id: logIdToText(id), timestamp: formatDateTime(atMs) })
  return el(NS_MAM, 'metadata', {}, place('start', ends.first), place('end', ends.last))
}
