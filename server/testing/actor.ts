import { expect } from 'vitest'
import { type Element, el } from '#stanzas/element.ts'
import type { BareJid, FullJid } from '#stanzas/jid.ts'
import { NS_CLIENT, NS_FRAMING, NS_SASL, NS_STREAMS } from '#stanzas/namespaces.ts'
import { ClientReader } from './client-reader.ts'
import type { Line } from './lines.ts'
import { matches, readElements, show, splitElements } from './match.ts'
import { ScramClient } from './scram-client.ts'

/** How long an actor listens for what must come; only a test that fails waits so long. */
const PATIENCE_MS = 5_000

/** Somebody at the other end of the server: sends XML, and says what came back. */
export class Actor {
  readonly #line: Line
  readonly #domain: string
  readonly #settle: () => Promise<void>
  #inbox: Element[] = []
  #wire = ''
  #wake: (() => void) | undefined
  #reader: ClientReader | undefined
  #header: Element | undefined
  #hasEnded = false
  #jid: string | undefined

  constructor(line: Line, domain: string, settle: () => Promise<void>) {
    this.#line = line
    this.#domain = domain
    this.#settle = settle
    line.listen(
      (text) => this.#read(text),
      () => {
        this.#hasEnded = true
        this.#wake?.()
      },
    )
  }

  /** The full JID, once bound. */
  get jid(): FullJid {
    return (this.#jid ?? '') as FullJid
  }
  get bareJid(): BareJid {
    return this.jid.split('/')[0] as BareJid
  }
  get hasEnded(): boolean {
    return this.#hasEnded
  }
  get framing(): 'stream' | 'frames' {
    return this.#line.framing
  }

  #read(text: string): void {
    this.#wire += text
    if (this.#line.framing === 'frames') for (const element of readElements(text)) this.#take(element)
    else {
      // RFC 6120 §4.3.3: a header of the server's begins a new document.
      if (text.startsWith('<?xml')) this.#reader = undefined
      this.#reader ??= new ClientReader({
        header: (header) => {
          this.#header = header
        },
        element: (element) => this.#take(element),
        end: () => this.#take(el(NS_STREAMS, 'end')),
      })
      this.#reader.write(text)
    }
    this.#wake?.()
  }

  #take(element: Element): void {
    this.#inbox.push(element)
    this.#wake?.()
  }

  /** Sends XML as it stands. Resolves when the server has dealt with it, as far as it needs nobody else. */
  async sends(text: string): Promise<void> {
    this.#write(text)
    await this.#settle()
  }

  #write(text: string): void {
    if (this.#line.framing === 'stream') return this.#line.send(text.trim())
    // RFC 7395 §3.3.3: each frame is one element, and a document of its own.
    for (const element of splitElements(text))
      this.#line.send(element.replace(/^<(message|presence|iq)(?=[\s>/])/, `<$1 xmlns='${NS_CLIENT}'`))
  }

  /** Sends bytes or characters that may not even be XML. */
  async sendsRaw(text: string): Promise<void> {
    this.#line.send(text)
    await this.#settle()
  }

  /** The next element that comes. */
  async next(): Promise<Element> {
    const deadline = performance.now() + PATIENCE_MS
    while (this.#inbox.length === 0) {
      if (this.#hasEnded) throw new Error(`${this.#jid ?? 'the actor'} waited, and the connection ended`)
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${this.#jid ?? 'the actor'} waited in vain`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const element = this.#inbox.shift()
    if (element === undefined) throw new Error('nothing came')
    return element
  }

  /** What comes next is this, exactly: one element after the other. Gives what came. */
  async receives(...expected: readonly string[]): Promise<readonly Element[]> {
    const got: Element[] = []
    for (const text of expected)
      for (const wanted of readElements(text)) {
        const actual = await this.next().catch((error: unknown) => {
          throw new Error(`${String(error)}; expected\n${show(wanted)}`)
        })
        if (!matches(actual, wanted)) expect(show(actual)).toBe(show(wanted))
        got.push(actual)
      }
    return got
  }

  /** These come next, in whatever order. */
  async receivesInAnyOrder(...expected: readonly string[]): Promise<void> {
    const wanted = expected.flatMap((text) => readElements(text))
    for (let left = wanted.length; left > 0; left--) {
      const actual = await this.next()
      const found = wanted.findIndex((candidate) => matches(actual, candidate))
      if (found < 0) expect(show(actual)).toBe(wanted.map((each) => show(each)).join('\nor\n'))
      wanted.splice(found, 1)
    }
  }

  /** Nothing has come, and nothing is on its way. */
  async receivesNothing(): Promise<void> {
    await this.#settle()
    expect(this.#inbox.map((element) => show(element))).toEqual([])
  }

  /** Forgets what came up to now. */
  async ignores(): Promise<void> {
    await this.#settle()
    this.#inbox = []
  }

  /** Everything that came up to now. */
  async collects(): Promise<readonly Element[]> {
    await this.#settle()
    const all = this.#inbox
    this.#inbox = []
    return all
  }

  /** Everything that came since the connection was made or this was asked, as it stands on the wire. */
  async overhears(): Promise<string> {
    await this.#settle()
    const text = this.#wire
    this.#wire = ''
    this.#inbox = []
    return text
  }

  /** Opens a stream (RFC 6120 §4.2) and gives the features. */
  async opensStream(to = this.#domain, from?: string): Promise<Element> {
    const says = from === undefined ? '' : ` from='${from}'`
    if (this.#line.framing === 'frames') {
      this.#line.send(`<open xmlns='${NS_FRAMING}'${says} to='${to}' version='1.0'/>`)
      const hears = from === undefined ? '' : ` to='${from}'`
      await this.receives(`<open xmlns='${NS_FRAMING}' from='${to}'${hears} id='∀' version='1.0' xml:lang='en'/>`)
    } else {
      this.#reader = undefined
      this.#line.send(
        `<?xml version='1.0'?><stream:stream${says} to='${to}' version='1.0' xml:lang='en' xmlns='${NS_CLIENT}' xmlns:stream='${NS_STREAMS}'>`,
      )
    }
    const features = await this.next()
    expect(`${features.ns} ${features.name}`).toBe(`${NS_STREAMS} features`)
    return features
  }

  /** The header the server sent last (RFC 6120 §4.7). */
  get header(): Element | undefined {
    return this.#header
  }

  /** Logs in by SCRAM and gives the features of the new stream. */
  async logsIn(localpart: string, password: string): Promise<Element> {
    await this.opensStream()
    const scram = new ScramClient({ mechanism: 'SCRAM-SHA-1', username: localpart, password })
    this.#line.send(`<auth xmlns='${NS_SASL}' mechanism='SCRAM-SHA-1'>${scram.first().toString('base64')}</auth>`)
    const challenge = await this.next()
    const response = await scram.answer(Buffer.from(challenge.text(), 'base64'))
    this.#line.send(`<response xmlns='${NS_SASL}'>${response.toString('base64')}</response>`)
    const outcome = await this.next()
    expect(outcome.name, show(outcome)).toBe('success')
    return this.opensStream()
  }

  /** Binds a resource (RFC 6120 §7). */
  async binds(resource: string): Promise<void> {
    this.#write(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    )
    const answer = await this.next()
    const jid = answer.getChild('bind', 'urn:ietf:params:xml:ns:xmpp-bind')?.getChildText('jid')
    expect(jid, show(answer)).toBeDefined()
    this.#jid = jid
  }

  /** Calls itself by this JID, after a resume. */
  is(jid: string): void {
    this.#jid = jid
  }

  /** Closes the stream in peace. */
  async leaves(): Promise<void> {
    this.#line.send(this.#line.framing === 'frames' ? `<close xmlns='${NS_FRAMING}'/>` : '</stream:stream>')
    await this.#settle()
    while (!this.#hasEnded) await this.next().catch(() => undefined)
    await this.#settle()
  }

  /** Loses its connection without a word. */
  async vanishes(): Promise<void> {
    this.#line.cut()
    await this.#settle()
  }

  /** Stops reading, or reads again. */
  async stalls(isStalled = true): Promise<void> {
    this.#line.stall(isStalled)
    await this.#settle()
  }
}
