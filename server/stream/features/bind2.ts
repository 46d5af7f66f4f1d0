import type { Logger } from '#server/base/log.ts'
import { newId } from '#server/base/random.ts'
import type { InlineFact, InlineRequest } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, parseJid } from '#stanzas/jid.ts'
import { NS_STREAM_MANAGEMENT } from '#stanzas/namespaces.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { C2sStream } from '../c2s.ts'
import { StreamError } from '../stream-error.ts'
import type { OpenSession } from './bind.ts'
import type { StreamManagement } from './stream-management.ts'

export const NS_BIND2 = 'urn:xmpp:bind:0'

export interface Bind2Options {
  /** What modules take part with. */
  readonly inline: readonly (InlineRequest | InlineFact)[]
  readonly streamManagement: StreamManagement
  readonly open: OpenSession
  /** The account's other sessions on the same device make room for this one. */
  readonly supersede: (session: Session) => void
  readonly log: Logger
}

type Answer = Element | undefined | Promise<Element | undefined>

/** Binding a resource and setting up its session in one step (XEP-0386). */
export class Bind2 {
  readonly #options: Bind2Options
  readonly #asked: readonly InlineRequest[]
  readonly #told: readonly InlineFact[]
  /** What stands for it among the inline features of SASL (XEP-0386 §3.1). */
  readonly offer: Element

  constructor(options: Bind2Options) {
    this.#options = options
    this.#asked = options.inline.filter((each) => each.kind === 'asked')
    this.#told = options.inline.filter((each) => each.kind === 'told')
    const names = [...this.#asked.map(({ ns }) => ns), NS_STREAM_MANAGEMENT]
    const features = names.map((name) => el(NS_BIND2, 'feature', { var: name }))
    this.offer = el(NS_BIND2, 'bind', {}, el(NS_BIND2, 'inline', {}, ...features))
  }

  /** Binds as the client asks; `say` tells it, before anything that follows from it. */
  bind(
    stream: C2sStream,
    account: BareJid,
    request: Element,
    say: (session: Session, bound: Element) => void,
  ): void | Promise<void> {
    const address = addressFor(account, stream.device, request.getChildText('tag'))
    if (address === undefined) throw new StreamError('internal-server-error')
    try {
      return this.#options.open(stream, address, (session) => this.#setUp(stream, session, request, say))
    } catch (error) {
      // A login has no other way to say that the account has too many sessions (RFC 6120 §7.6.2.1).
      if (error instanceof StanzaError)
        throw new StreamError('resource-constraint', { text: 'the account has too many sessions' })
      throw error
    }
  }

  #setUp(
    stream: C2sStream,
    session: Session,
    request: Element,
    say: (session: Session, bound: Element) => void,
  ): void | Promise<void> {
    if (session.device !== undefined) this.#options.supersede(session)
    const answers = this.#answers(stream, session, request)
    if (areReady(answers)) return say(session, el(NS_BIND2, 'bound', {}, ...answers))
    // What comes for the session meanwhile follows behind.
    stream.precede()
    return Promise.all(answers.map((answer) => this.#settled(session, answer))).then((ready) => {
      if (!stream.isClosed) say(session, el(NS_BIND2, 'bound', {}, ...ready))
      stream.follow()
    })
  }

  /** What is told, and what is asked for: each feature once; what is unknown is passed over (XEP-0386 §3.2). */
  #answers(stream: C2sStream, session: Session, request: Element): readonly Answer[] {
    const done: unknown[] = []
    const answers: Answer[] = this.#told.map(({ tell }) => tell(session))
    for (const element of request.getChildren()) {
      const { ns, name } = element
      const isManagement = ns === NS_STREAM_MANAGEMENT && name === 'enable'
      const feature = isManagement ? ns : this.#asked.find((each) => each.ns === ns && each.names.includes(name))
      if (feature === undefined || done.includes(feature)) continue
      done.push(feature)
      answers.push(
        typeof feature === 'string' ? this.#options.streamManagement.enable(stream, element) : feature.handle(session, element),
      )
    }
    return answers
  }

  /** One that fails is not told; the session is there all the same. */
  async #settled(session: Session, answer: Answer): Promise<Element | undefined> {
    try {
      return await answer
    } catch (error) {
      this.#options.log.error('inline-feature-failed', { jid: session.jid, error })
      return undefined
    }
  }
}

const areReady = (answers: readonly Answer[]): answers is readonly (Element | undefined)[] =>
  !answers.some((answer) => answer instanceof Promise)

/** XEP-0386 §3.2.1: the client's tag, and what is the same whenever this client binds. A tag that no resource can begin with is left out. */
const addressFor = (account: BareJid, device: string | undefined, tag: string | undefined): Address | undefined => {
  const own = device ?? newId()
  const tagged = tag === undefined || tag === '' ? undefined : parseJid(`${account}/${tag}/${own}`)
  return tagged ?? parseJid(`${account}/${own}`)
}
