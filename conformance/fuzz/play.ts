import { Chance } from './chance.ts'
import { corpus } from './corpus.ts'
import { capabilities } from './corpus-of-devices.ts'
import type { Dialogue } from './dialogue.ts'
import { type Link, openTcp, openWebSocket } from './link.ts'
import { authenticate, type FuzzAccount, logIn, ping } from './login.ts'
import { mutate } from './mutate.ts'

/** Where the streams go. */
export interface Target {
  readonly domain: string
  readonly ports: { readonly c2s: number; readonly http: number }
  readonly accounts: readonly FuzzAccount[]
}

/** Connections that went on living after a stream, and may be used for the next one; each belongs to one player. */
export type Survivors = Map<Link['framing'], Link>

/** How a client ends: it sees whether the server still answers, says goodbye, stops sending, or is gone. */
const ENDINGS = ['fence', 'fence', 'fence', 'fence', 'fence', 'goodbye', 'finish', 'finish', 'cut', 'cut'] as const
type Ending = (typeof ENDINGS)[number]

/** A stream that is bound answers its fence within this time, or waits for the rest of something. */
const FENCE_MS = 150
/** A server that is told that no more will come closes within this time. */
const CLOSE_MS = 20_000
/** One stream in so many goes over WebSocket. */
const WEBSOCKET_EVERY = 10

/** One mutated stream, made of nothing but the seed and its number. */
export interface Case {
  readonly number: number
  readonly framing: Link['framing']
  readonly dialogue: Dialogue
  readonly pieces: readonly { readonly bytes: Buffer; readonly isOdd: boolean }[]
  /** What it answers when it is asked what it can do (XEP-0115 §6.2); the question's id is still to be put in. */
  readonly answer: Buffer
  readonly ending: Ending
}

/** Makes the stream of this number. */
export const caseOf = (seed: number, number: number): Case => {
  const chance = new Chance(seed, number)
  const framing = chance.once(WEBSOCKET_EVERY) ? 'frames' : 'stream'
  const dialogue = chance.oneOf(corpus)
  const steps = mutate(framing === 'frames' ? dialogue.steps.map(framed) : dialogue.steps, chance)
  const pieces =
    framing === 'frames'
      ? steps.map((bytes) => ({ bytes, isOdd: chance.once(25) }))
      : cut(Buffer.concat(steps), chance).map((bytes) => ({ bytes, isOdd: false }))
  const ending = dialogue.prelude === 'bound' ? chance.oneOf(ENDINGS) : chance.oneOf(['finish', 'finish', 'cut'] as const)
  const [answer = Buffer.alloc(0)] = chance.once(3)
    ? [Buffer.from(capabilities)]
    : mutate([framing === 'frames' ? framed(capabilities) : capabilities], chance)
  return { number, framing, dialogue, pieces, answer, ending }
}

/** RFC 7395 §3.3: an element a frame, each with its namespace. */
const framed = (step: string): string => {
  if (step.includes('<stream:stream')) return "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
  if (step === '</stream:stream>') return "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
  return step.replace(/^<(message|presence|iq)(?=[ />])/, "<$1 xmlns='jabber:client'")
}

/** Cuts bytes wherever it happens; small streams now and then into single bytes. */
const cut = (bytes: Buffer, chance: Chance): readonly Buffer[] => {
  if (chance.once(3)) return [bytes]
  const isTiny = bytes.length < 400 && chance.once(20)
  const places = isTiny ? bytes.length : 1 + chance.skewed(12)
  const at = Array.from({ length: places }, (_, i) => (isTiny ? i : chance.below(bytes.length + 1))).sort((a, b) => a - b)
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length))
}

/** Plays a stream; gives what is wrong with how the server took it. */
export const play = async (
  target: Target,
  { number, framing, dialogue, pieces, answer, ending }: Case,
  survivors: Survivors,
): Promise<string | undefined> => {
  const link = await prepared(target, framing, dialogue, number, survivors)
  link.forget()
  for (const { bytes, isOdd } of pieces) {
    if (link.isClosed()) break
    if (isOdd) link.sendOddly(bytes)
    else link.send(bytes)
    if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve))
  }
  const makesClaim = pieces.some(({ bytes }) => bytes.includes(NS_CAPS))
  if (makesClaim && (await link.until(QUESTION, QUESTION_MS)) === 'there') link.send(answering(link.text(), answer))
  const outcome = await finish(target, link, ending, `fence-${number}.`)
  if (outcome === 'alive') survivors.set(framing, link)
  return link.complaint() ?? (outcome === 'stuck' ? 'the server did not close' : undefined)
}

const NS_CAPS = 'http://jabber.org/protocol/caps'
const QUESTION = /<iq ([^>]*type='get'[^>]*)><query xmlns='http:\/\/jabber.org\/protocol\/disco#info'/
/** Who is asked what it can do is asked at once. */
const QUESTION_MS = 30

const answering = (text: string, answer: Buffer): Buffer => {
  const id = / id='([^']*)'/.exec(QUESTION.exec(text)?.[1] ?? '')?.[1] ?? ''
  return Buffer.from(answer.toString('latin1').replace('QUESTION', id), 'latin1')
}

const prepared = async (
  { domain, ports, accounts }: Target,
  framing: Link['framing'],
  { prelude }: Dialogue,
  number: number,
  survivors: Survivors,
): Promise<Link> => {
  const survivor = prelude === 'bound' ? survivors.get(framing) : undefined
  if (survivor !== undefined) {
    survivors.delete(framing)
    if (!survivor.isClosed()) return survivor
  }
  const link = framing === 'frames' ? await openWebSocket(ports.http) : await openTcp(ports.c2s)
  const account = accounts[number % accounts.length]
  if (account === undefined) throw new Error('there are no accounts')
  if (prelude === 'login') await authenticate(link, domain, account)
  if (prelude === 'bound') await logIn(link, domain, account, `r${number}`)
  return link
}

const finish = async ({ domain }: Target, link: Link, ending: Ending, fence: string): Promise<'alive' | 'closed' | 'stuck'> => {
  if (ending === 'cut') {
    link.cut()
    return 'closed'
  }
  if (ending === 'goodbye')
    link.send(
      Buffer.from(link.framing === 'frames' ? "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>" : '</stream:stream>'),
    )
  if (ending === 'fence') {
    link.send(ping(domain, fence))
    const waited = await link.until(fence, FENCE_MS)
    if (waited !== 'late') return waited === 'there' ? 'alive' : 'closed'
  }
  link.finish()
  const waited = await link.until('closed', CLOSE_MS)
  if (waited === 'late') link.cut()
  return waited === 'late' ? 'stuck' : 'closed'
}
