import type { ChatClient, ClientKind, Seat } from './chat-client.ts'
import { type Fact, factsOf, openBot } from './slixmpp.ts'

const answerTimeoutMs = 20_000

/** A bot that is asked for what slixmpp knows besides chatting: archives, personal events, nodes, markers and OMEMO. */
export type Adept = ChatClient & {
  /** Has it do something, and gives back what it answers; a refusal is thrown, with its condition as the message. */
  readonly ask: (does: string, details?: Readonly<Record<string, unknown>>) => Promise<unknown>
  /** Everything it was told of by events of a kind, in order. */
  readonly told: (event: string) => readonly Fact[]
}

/** slixmpp with its plugins for what accounts keep and publish, over TCP and STARTTLS. */
export const slixmppAdept: ClientKind<Adept> = {
  name: 'slixmpp with its plugins',
  door: 'c2s',
  open: async (seat) => openAdept(seat),
}

const openAdept = async (seat: Seat): Promise<Adept> => {
  const { client, process } = await openBot(seat, 'slixmpp_adept.py')
  const facts: Fact[] = []
  const waiting = new Map<number, (answer: Fact) => void>()
  factsOf(process, (fact) => {
    facts.push(fact)
    if (fact.event === 'answer') waiting.get(fact.number ?? 0)?.(fact)
  })
  let orders = 0
  const ask = async (does: string, details: Readonly<Record<string, unknown>> = {}): Promise<unknown> => {
    const number = ++orders
    const answered = new Promise<Fact>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`slixmpp did not answer: ${does}`)), answerTimeoutMs)
      waiting.set(number, (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
    })
    process.stdin?.write(`${JSON.stringify({ ...details, do: does, number })}\n`)
    const { error, value } = await answered
    if (error !== undefined) throw new Error(error)
    return value
  }
  return { ...client, ask, told: (event) => facts.filter((fact) => fact.event === event) }
}
