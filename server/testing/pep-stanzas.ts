import { digest } from '#server/base/digest.ts'
import { capsHash } from '#stanzas/caps-hash.ts'
import type { Element } from '#stanzas/element.ts'
import { type Actor, any, type Scene, xml } from './conversation.ts'
import { readElements } from './match.ts'

const PUBSUB = 'http://jabber.org/protocol/pubsub'
const INFO = 'http://jabber.org/protocol/disco#info'

const featuresFor = (nodes: readonly string[]): readonly string[] => nodes.map((node) => `${node}+notify`)

/** The `<c/>` of a client that wants events of these nodes. */
export const capsFor = (...nodes: readonly string[]): string => {
  const ver = capsHash(
    { identities: [{ category: 'client', type: 'pc' }], features: featuresFor(nodes), forms: [] },
    'sha-1',
    digest,
  )
  return xml`<c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="urn:client" ver="${ver ?? ''}"/>`
}

/** Connects with presence that says that events of these nodes are wanted, and says so when it is asked; what that causes has been read. */
export const listens = async (scene: Scene, jid: string, ...nodes: readonly string[]): Promise<Actor> => {
  const actor = await scene.connect(jid)
  await actor.sends(`<presence>${capsFor(...nodes)}</presence>`)
  for (const stanza of await actor.collects()) {
    if (stanza.getChild('query', INFO) === undefined) continue
    const features = featuresFor(nodes).map((feature) => `<feature var="${feature}"/>`)
    await actor.sends(
      xml`<iq type="result" id="${stanza.attrs.id}" to="${scene.domain}"><query xmlns="${INFO}"><identity category="client" type="pc"/>${features.join('')}</query></iq>`,
    )
  }
  await actor.ignores()
  return actor
}

const field = (name: string, value: string): string => `<field var="pubsub#${name}"><value>${value}</value></field>`

/** XEP-0060 §7.1.5 */
export const publishOptions = (fields: Readonly<Record<string, string>>): string =>
  xml`<publish-options><x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE" type="hidden"><value>${PUBSUB}#publish-options</value></field>${Object.entries(
    fields,
  )
    .map(([name, value]) => field(name, value))
    .join('')}</x></publish-options>`

/** A request to publish at the own account. */
export const publishes = (node: string, id: string | undefined, payload: string, more = ''): string =>
  xml`<iq type="set" id="p1"><pubsub xmlns="${PUBSUB}"><publish node="${node}"><item${id === undefined ? '' : ` id="${id}"`}>${payload}</item></publish>${more}</pubsub></iq>`

/** Asks for all items of a node. */
export const asksItems = (node: string, to = ''): string =>
  xml`<iq type="get" id="g1"${to === '' ? '' : ` to="${to}"`}><pubsub xmlns="${PUBSUB}"><items node="${node}"/></pubsub></iq>`

/** Takes an item away. */
export const retracts = (node: string, id: string): string =>
  xml`<iq type="set" id="r1"><pubsub xmlns="${PUBSUB}"><retract node="${node}" notify="true"><item id="${id}"/></retract></pubsub></iq>`

/** The event of one item. */
export const eventOf = (node: string, id: string, payload: string, to: Actor, from: string = to.bareJid): string =>
  xml`<message type="headline" id="${any}" from="${from}" to="${to.jid}"><event xmlns="${PUBSUB}#event"><items node="${node}"><item id="${id}">${payload}</item></items></event></message>`

/** Sends a request, and gives its answer. */
export const asks = async (actor: Actor, request: string): Promise<Element> => {
  const id = readElements(request)[0]?.attrs.id
  const isAnswer = ({ name, attrs }: Element): boolean => name === 'iq' && attrs.id === id
  await actor.ignores()
  await actor.sends(request)
  let answer = (await actor.collects()).find(isAnswer)
  while (answer === undefined) {
    const next = await actor.next()
    if (isAnswer(next)) answer = next
  }
  return answer
}

/** Whether a request was granted: `result`, or the condition of its refusal with what is beside it. */
export const outcome = async (actor: Actor, request: string): Promise<string> => {
  const answer = await asks(actor, request)
  if (answer.attrs.type === 'result') return 'result'
  return (answer.getChild('error')?.getChildren() ?? []).map(({ name }) => name).join(' ')
}

/** The items of a node, as they are read by this actor: id and payload. */
export const itemsOf = async (
  actor: Actor,
  node: string,
  to = '',
): Promise<readonly (readonly [string, Element | undefined])[]> => {
  const answer = await asks(actor, asksItems(node, to))
  const items = answer.getChild('pubsub', PUBSUB)?.getChild('items')?.getChildren('item') ?? []
  return items.map((item) => [item.attrs.id ?? '', item.getChildren()[0]])
}

/** What an actor has been told by events up to now: node and id, with a minus before what is gone. */
export const toldOf = async (actor: Actor): Promise<readonly string[]> =>
  (await actor.collects()).flatMap((stanza) => {
    const items = stanza.getChild('event', `${PUBSUB}#event`)?.getChild('items')
    return items?.getChildren().map(({ name, attrs }) => `${name === 'retract' ? '-' : ''}${items.attrs.node} ${attrs.id}`) ?? []
  })

/** The features an account tells its owner. */
export const featuresOf = async (actor: Actor): Promise<readonly (string | undefined)[]> => {
  const answer = await asks(actor, xml`<iq type="get" id="d1" to="${actor.bareJid}"><query xmlns="${INFO}"/></iq>`)
  return (
    answer
      .getChild('query', INFO)
      ?.getChildren('feature')
      .map(({ attrs }) => attrs.var) ?? []
  )
}
