import type { Clock, Timer } from '#server/base/clock.ts'
import { newId } from '#server/base/random.ts'
import type { Element } from '#stanzas/element.ts'
import type { Address, BareJid } from '#stanzas/jid.ts'
import { iq, type Stanza } from '#stanzas/stanza.ts'
import { StanzaError, type StanzaErrorCondition } from '#stanzas/stanza-error.ts'
import type { IqRegistration, IqRequest } from './module.ts'
import type { Session } from './session.ts'

/** How long a client may take to answer the server. */
const ANSWER_TIMEOUT_MS = 30_000

interface Question {
  readonly answer: (stanza: Stanza | undefined) => void
  readonly timer: Timer
}

/** IQ requests to the server and to accounts: finds the handler, turns what it returns into the reply, and matches answers to the server's own questions. */
export class IqDispatch {
  readonly #handlers = new Map<string, IqRegistration>()
  readonly #questions = new Map<string, Question>()
  readonly #clock: Clock
  readonly #domain: Address
  readonly #onRefused: (condition: StanzaErrorCondition) => void

  constructor(domain: Address, clock: Clock, onRefused: (condition: StanzaErrorCondition) => void) {
    this.#domain = domain
    this.#clock = clock
    this.#onRefused = onRefused
  }

  /** Adds a module's handlers; two for one payload refuse to start. */
  register(module: string, registrations: readonly IqRegistration[]): void {
    for (const registration of registrations)
      for (const target of registration.target === 'server' ? ['server'] : ['account']) {
        const key = `${target} ${registration.type} ${registration.name} ${registration.ns}`
        if (this.#handlers.has(key))
          throw new Error(
            `module ${module}: ${registration.type} ${registration.name} of ${registration.ns} has a handler already`,
          )
        this.#handlers.set(key, registration)
      }
  }

  /** Handles a request to the domain or to an account; gives the reply, or nothing for answers. */
  handle(
    stanza: Stanza,
    from: Address,
    to: Address,
    session: Session | undefined,
  ): Stanza | undefined | Promise<Stanza | undefined> {
    const type = stanza.type
    if (type === 'result' || type === 'error') {
      this.#answered(stanza, from)
      return undefined
    }
    try {
      const answer = this.#ask(stanza, type, from, to, session)
      if (answer instanceof Promise)
        return answer.then(
          (element) => reply(stanza, from, to, element),
          (error: unknown) => this.#refuse(stanza, from, to, error),
        )
      return reply(stanza, from, to, answer)
    } catch (error) {
      return this.#refuse(stanza, from, to, error)
    }
  }

  #refuse(asked: Stanza, from: Address, to: Address, error: unknown): Stanza {
    if (!(error instanceof StanzaError)) throw error
    this.#onRefused(error.condition)
    return iq({ from: to, to: from, id: asked.id, type: 'error' }, error.beside, error.toElement())
  }

  #ask(
    stanza: Stanza,
    type: string | undefined,
    from: Address,
    to: Address,
    session: Session | undefined,
  ): Element | undefined | Promise<Element | undefined> {
    // RFC 6120 §8.2.3: an id, a known type, and exactly one child.
    const first = stanza.payloads[0]
    if (stanza.id === undefined || (type !== 'get' && type !== 'set') || first === undefined || stanza.payloads.length > 1)
      throw new StanzaError('bad-request')
    const isServer = to.localpart === ''
    const registration = this.#handlers.get(`${isServer ? 'server' : 'account'} ${type} ${first.name} ${first.ns}`)
    // RFC 6120 §8.4: a payload nobody understands.
    if (registration === undefined) throw new StanzaError('service-unavailable')
    if (registration.target === 'own' && from.bare !== to.bare) throw new StanzaError('forbidden')
    const payload = stanza.get(first.ns, first.name)
    if (payload === undefined) throw new StanzaError('bad-request')
    const request: IqRequest = {
      stanza,
      payload,
      from: from.jid,
      fromAddress: from,
      to: to.bare as BareJid,
      toAddress: to,
      session,
    }
    return registration.handle(request)
  }

  /** Requests to clients that wait for an answer. */
  get questions(): number {
    return this.#questions.size
  }

  /** Asks a client; resolves with its answer, result or error, or `undefined` when none comes in time. */
  ask(session: Session, type: 'get' | 'set', payload: Element, from: Address = this.#domain): Promise<Stanza | undefined> {
    const id = newId()
    return new Promise((resolve) => {
      const key = `${session.jid} ${id}`
      const answer = (stanza: Stanza | undefined): void => {
        this.#questions.delete(key)
        resolve(stanza)
      }
      this.#questions.set(key, { answer, timer: this.#clock.after(ANSWER_TIMEOUT_MS, () => answer(undefined)) })
      session.send(iq({ from, to: session.address, id, type }, payload))
    })
  }

  #answered(stanza: Stanza, from: Address): void {
    const question = this.#questions.get(`${from.jid} ${stanza.id}`)
    question?.timer.cancel()
    question?.answer(stanza)
  }
}

const reply = (asked: Stanza, from: Address, to: Address, element: Element | undefined): Stanza =>
  iq({ from: to, to: from, id: asked.id, type: 'result' }, element)
