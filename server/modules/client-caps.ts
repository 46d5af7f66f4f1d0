import { digest } from '#server/base/digest.ts'
import { integer } from '#server/base/schema.ts'
import { observe } from '#server/core/hooks.ts'
import { defineModule } from '#server/core/module.ts'
import type { Session } from '#server/core/session.ts'
import { provesCaps } from '#stanzas/caps-hash.ts'
import { type DiscoInfo, readDiscoInfo } from '#stanzas/disco-info.ts'
import { el } from '#stanzas/element.ts'
import { NS_CAPS, NS_DISCO_INFO } from '#stanzas/namespaces.ts'
import type { Stanza } from '#stanzas/stanza.ts'
import { documents } from '#storage/shapes.ts'
import { type Claim, claimIn } from './client-caps/claim.ts'
import { type FeatureSet, type Proof, ProvenFeatures, type StoredFeatures } from './client-caps/proven-features.ts'

export type { FeatureSet } from './client-caps/proven-features.ts'

/** Features of one client, and the characters they have together: several times what the most talkative clients list. */
const MAX_FEATURES = 500
const MAX_TEXT = 16_384
/** Questions to one client that it has not answered; whoever claims something else before that is not asked about it. */
const MAX_OPEN = 8

type Listener = (session: Session, features: FeatureSet) => void

/** What modules may ask about the clients of this server. */
export interface ClientCapsApi {
  /** What the session's client can do, as far as it is known at this moment. */
  featuresOf(session: Session): FeatureSet | undefined
  /** Whether the client wants events of this node (XEP-0163 §4.2). */
  isInterested(session: Session, node: string): boolean
  /** Calls back when a session's features become known, or are others than before. */
  onKnown(listener: Listener): void
}

/** What is remembered of a session whose presence has a `<c/>`. */
interface Known {
  /** Of the last claim; once that is proved, the text that all who make it share. */
  key: string | undefined
  features: FeatureSet | undefined
  /** Questions that its client has not answered. */
  open: number
}

/** A claim that nobody has proved yet. */
interface Question {
  readonly claim: Claim
  /** Sessions that make it and have not been asked. */
  readonly waiting: Set<Session>
  /** All that wait to know, those that are being asked included. */
  readonly sessions: Set<Session>
  isProved: boolean
}

/** Learns what the clients of this server can do, from the hash in their presence. */
export const clientCaps = defineModule({
  name: 'client-caps',
  summary: 'Learns what connected clients can do, and asks each software only once.',
  xeps: { 'XEP-0115': '1.6.0' },
  config: {
    maxRemembered: integer({
      default: 1_000,
      min: 1,
      max: 100_000,
      doc: 'How many different softwares and versions of clients are remembered; the one that was not seen for longest is forgotten.',
    }),
  },
  stores: { proven: documents<StoredFeatures>() },
  perSession: (): Known => ({ key: undefined, features: undefined, open: 0 }),

  async start({ config, stores, stateOf, iq, log, metrics, isAlone }) {
    const proven = new ProvenFeatures(stores.proven, config.maxRemembered, log)
    await proven.load()
    const questions = new Map<string, Question>()
    const listeners: Listener[] = []
    metrics.gauge('client_capabilities', 'Softwares of clients whose features are remembered.', () => proven.size)

    const learn = (session: Session, { key, features }: Proof): void => {
      const known = stateOf(session)
      if (session.hasEnded || known.key !== key || known.features === features) return
      known.key = key
      known.features = features
      for (const listener of listeners) listener(session, features)
    }

    const notice = (session: Session, claim: Claim): void => {
      const known = stateOf(session)
      if (known.key === claim.key) return
      known.key = claim.key
      const proof = proven.get(claim.key)
      if (proof !== undefined) return learn(session, proof)
      // Until the new ones are known, it is taken to want nothing.
      known.features = undefined
      inquire(session, claim)
    }

    /** Another process may have asked already. */
    const askUnlessProved = async (question: Question): Promise<void> => {
      const proof = isAlone ? undefined : await proven.find(question.claim.key)
      if (proof !== undefined) prove(question, proof)
      await askAll(question)
    }

    const inquire = (session: Session, claim: Claim): void => {
      if (stateOf(session).open >= MAX_OPEN) return
      const underWay = questions.get(claim.key)
      if (underWay !== undefined) {
        underWay.waiting.add(session)
        underWay.sessions.add(session)
        return
      }
      const question: Question = { claim, waiting: new Set([session]), sessions: new Set([session]), isProved: false }
      questions.set(claim.key, question)
      askUnlessProved(question).catch((error: unknown) => log.error('capabilities-not-learned', { error }))
    }

    /** XEP-0115 §5.4: whoever does not prove the claim is followed by others who make it; twice as many each time, since they may be as slow as the first. */
    const askAll = async (question: Question): Promise<void> => {
      const { claim, waiting } = question
      try {
        for (let count = 1; waiting.size > 0 && !question.isProved; count *= 2) {
          const asked: Promise<void>[] = []
          for (const session of waiting) {
            if (asked.length === count) break
            waiting.delete(session)
            if (!session.hasEnded && stateOf(session).key === claim.key) asked.push(ask(session, question))
          }
          await Promise.all(asked)
        }
      } finally {
        if (questions.get(claim.key) === question) questions.delete(claim.key)
      }
    }

    const ask = async (session: Session, question: Question): Promise<void> => {
      const { key, hash, ver, node } = question.claim
      const state = stateOf(session)
      state.open++
      const answer = await iq.ask(session, 'get', el(NS_DISCO_INFO, 'query', { node }))
      state.open--
      const info = answer?.type === 'result' && !question.isProved ? infoIn(answer) : undefined
      question.sessions.delete(session)
      if (info === undefined) return
      const proof = { key, features: featureSet(info) }
      learn(session, proof)
      // §9.3: what the hash does not prove concerns only the one who said it.
      if (!provesCaps(info, hash, ver, digest)) return
      proven.add(proof)
      prove(question, proof)
    }

    const prove = (question: Question, proof: Proof): void => {
      question.isProved = true
      questions.delete(proof.key)
      for (const other of question.sessions) learn(other, proof)
    }

    /** A question that was lost with the connection; or the session has gone on here, after another process was lost. */
    const askAgain = (session: Session): void => {
      const { key, features } = stateOf(session)
      const claim = features !== undefined || session.presence === undefined ? undefined : claimIn(session.presence)
      if (claim === undefined || questions.get(claim.key)?.sessions.has(session) === true) return
      if (key === undefined) notice(session, claim)
      else inquire(session, claim)
    }

    const api: ClientCapsApi = {
      featuresOf: (session) => stateOf(session).features,
      isInterested: (session, node) => stateOf(session).features?.has(`${node}+notify`) === true,
      onKnown: (listener) => listeners.push(listener),
    }

    return {
      api,
      hooks: [
        observe(
          'sent',
          ({ session, stanza }) => {
            const claim = stanza.type === undefined && stanza.to === undefined ? claimIn(stanza) : undefined
            if (session !== undefined && claim !== undefined) notice(session, claim)
          },
          { kind: 'presence', namespace: NS_CAPS },
        ),
        observe('session-resumed', ({ session }) => askAgain(session)),
        observe('session-unavailable', ({ session }) => {
          const known = stateOf(session)
          known.key = undefined
          known.features = undefined
        }),
      ],
    }
  },
})

/** What a client told; nothing when it is no such answer, or says more than any client has to say. */
const infoIn = (answer: Stanza): DiscoInfo | undefined => {
  const query = answer.get(NS_DISCO_INFO, 'query')
  const info = query === undefined ? undefined : readDiscoInfo(query)
  if (info === undefined || info.features.length > MAX_FEATURES) return undefined
  return info.features.reduce((sum, feature) => sum + feature.length, 0) > MAX_TEXT ? undefined : info
}

/** Without references into the text that the client sent, which would be kept with it. */
const featureSet = ({ features }: DiscoInfo): FeatureSet => new Set(JSON.parse(JSON.stringify(features)) as readonly string[])
