import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../client/connection.ts'
import { attributeOf } from '../client/login.ts'
import { headingOf, messageWriter } from './message.ts'
import { type Reading, read, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { leave, sessionsOf } from './sessions.ts'

const NS = `xmlns='jabber:client'`
const PAGE = 50
/** Pages of each place that are read; fewer where there are not so many. */
const PAGES = 400
/** Messages of one sender that are on their way at once. */
const WINDOW = 250
const FILL_MS = 900_000
const PAGE_MS = 30_000

/** One account receives messages from the others until its archive (XEP-0313) has as many as are wished; then it reads pages at the beginning, in the middle and at the end. */
export async function archive(options: LoadOptions): Promise<Record<string, number>> {
  const { serverPid, messages } = options
  const [connection, ...senders] = await sessionsOf(options, 0, options.accounts, { resource: 'load' })
  if (connection === undefined) throw new Error('nobody reads')
  const middle = await fill(connection, senders, options)
  leave(senders)
  const reader = new Reader(connection)
  const pages = Math.min(PAGES, Math.floor(messages / PAGE / 2))
  const first = await reader.reads(serverPid, pages, (last) => (last === undefined ? '' : `<after>${last}</after>`))
  const inTheMiddle = await reader.reads(serverPid, pages, (last) => `<after>${last ?? middle}</after>`)
  const last = await reader.reads(serverPid, pages, (_, earliest) => `<before>${earliest ?? ''}</before>`)
  leave([connection])
  const msPerPage = ({ from, to }: Span) => ((to.server - from.server) * 1000) / pages
  return {
    first_server_cpu_ms_per_page: msPerPage(first),
    middle_server_cpu_ms_per_page: msPerPage(inTheMiddle),
    last_server_cpu_ms_per_page: msPerPage(last),
    pages_per_s: (pages * 3 * 1000) / (first.ms + inTheMiddle.ms + last.ms),
    lost: reader.missing,
    error_stanzas: reader.errors,
  }
}

/** Gives the archive's id of the message in the middle. */
async function fill(reader: Connection, senders: readonly Connection[], options: LoadOptions): Promise<string> {
  const total = options.messages
  const run = 100_000 + Math.floor(Math.random() * 900_000)
  const writers = senders.map((_, at) => messageWriter(run, at, 0, options.target.domain))
  let received = 0
  let begun = 0
  let middle: string | undefined
  const next = (at: number) => {
    if (begun >= total) return
    senders[at]?.send(writers[at]?.(begun++) ?? '')
  }
  reader.onStanza = (xml) => {
    const heading = xml.startsWith('<message') ? headingOf(xml) : undefined
    if (heading?.run !== run) return
    if (++received * 2 >= total) middle ??= stanzaIdIn(xml)
    next(heading.sender)
  }
  reader.send(`<presence ${NS}/>`)
  await sleep(500)
  for (let round = 0; round < WINDOW; round++) for (const at of senders.keys()) next(at)
  const until = performance.now() + FILL_MS
  while (received < total) {
    if (performance.now() > until) throw new Error(`${received} of ${total} messages arrived`)
    await sleep(20)
  }
  if (middle === undefined) throw new Error('messages come without an id of the archive')
  return middle
}

type Span = { readonly from: Reading; readonly to: Reading; readonly ms: number }

/** Reads its archive, page by page. */
class Reader {
  missing = 0
  errors = 0
  readonly #connection: Connection
  #ids: string[] = []
  #answered: () => void = () => undefined

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onStanza = (xml) => {
      if (xml.startsWith('<message')) this.#ids.push(resultIdIn(xml))
      else if (xml.startsWith('<iq') && attributeOf(xml, 'id') === 'page') {
        if (attributeOf(xml, 'type') === 'error') this.errors++
        this.#answered()
      }
    }
  }

  /** Each page is asked for by where the one before it ended and began. */
  async reads(
    serverPid: number,
    pages: number,
    where: (last: string | undefined, earliest: string | undefined) => string,
  ): Promise<Span> {
    await this.#page(where(undefined, undefined))
    const from = await readWhenQuiet(serverPid)
    const seen = new Set<string>()
    let last: string | undefined
    let earliest: string | undefined
    for (let page = 0; page < pages; page++) {
      const ids = await this.#page(where(last, earliest))
      earliest = ids[0]
      last = ids.at(-1)
      for (const id of ids) seen.add(id)
    }
    const { atMs } = read(serverPid)
    this.missing += pages * PAGE - seen.size
    return { from, to: await readWhenQuiet(serverPid), ms: atMs - from.atMs }
  }

  async #page(where: string): Promise<readonly string[]> {
    this.#ids = []
    const answer = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a page did not come')), PAGE_MS)
      this.#answered = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#connection.send(
      `<iq ${NS} type='set' id='page'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>${PAGE}</max>${where}</set></query></iq>`,
    )
    await answer
    return this.#ids
  }
}

function stanzaIdIn(xml: string): string | undefined {
  const at = xml.indexOf('<stanza-id')
  return at === -1 ? undefined : attributeOf(xml.slice(at), 'id')
}

function resultIdIn(xml: string): string {
  return attributeOf(xml.slice(xml.indexOf('<result')), 'id') ?? ''
}
