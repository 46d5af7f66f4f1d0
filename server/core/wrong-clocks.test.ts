import { expect } from 'vitest'
import { mam } from '#server/modules/mam.ts'
import { offline } from '#server/modules/offline.ts'
import { presence } from '#server/modules/presence.ts'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'

/** A wall clock that jumps: order is by ids, and ids only grow. */
const HOUR_MS = 3_600_000
const options = { modules: [presence, offline, mam], nodes: 2, carriers: ['memory'] as const }

const comesBy = (scene: Scene, node: number, jid: string): Promise<Actor> => {
  scene.comesBy(node)
  return scene.comesOnline(jid)
}

const says = (actor: Actor, id: string): Promise<void> =>
  actor.sends(xml`<message type="chat" id="${id}" to="juliet@verona.example"><body>${id}</body></message>`)

/** What came live: the id of each, with its stanza-id. */
const receives = async (actor: Actor): Promise<readonly (readonly [string, string])[]> =>
  (await actor.collects()).flatMap((stanza) =>
    stanza.name === 'message'
      ? [[stanza.attrs.id ?? '', stanza.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.id ?? ''] as const]
      : [],
  )

const archive = async (actor: Actor): Promise<readonly (readonly [string, string])[]> => {
  await actor.sends('<iq type="set" id="mam"><query xmlns="urn:xmpp:mam:2"/></iq>')
  return (await actor.collects()).flatMap((stanza) => {
    const result = stanza.getChild('result', 'urn:xmpp:mam:2')
    const forwarded = result?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client')
    return result === undefined ? [] : [[forwarded?.attrs.id ?? '', result.attrs.id ?? ''] as const]
  })
}
/** Whether each id is larger than the one before. */
const grow = (entries: readonly (readonly [string, string])[]): boolean =>
  entries.every(([, id], index) => index === 0 || id > (entries[index - 1]?.[1] ?? ''))

conversation(
  'XEP-0313 §3.1: an archive keeps its order while the clock of its home jumps, and when it moves to a slower one',
  options,
  async (scene) => {
    const romeo = await comesBy(scene, 1, 'romeo@verona.example/orchard')
    const first = await comesBy(scene, 0, 'juliet@verona.example/balcony')
    scene.jumps(0, 3 * HOUR_MS)
    await says(romeo, 'm1')
    scene.jumps(0, -5 * HOUR_MS)
    await says(romeo, 'm2')
    scene.jumps(0, 4 * HOUR_MS)
    await says(romeo, 'm3')
    const live = await receives(first)
    expect(live.map(([id]) => id)).toEqual(['m1', 'm2', 'm3'])

    scene.jumps(1, -HOUR_MS)
    await scene.loses(0)
    const juliet = await comesBy(scene, 1, 'juliet@verona.example/balcony')
    await says(romeo, 'm4')
    const moved = [...live, ...(await receives(juliet))]
    expect(moved.map(([id]) => id)).toEqual(['m1', 'm2', 'm3', 'm4'])
    expect(grow(moved)).toBe(true)
    expect(await archive(juliet)).toEqual(moved)
  },
)

conversation(
  'RFC 6120 §10.1: what was sent while the account moved to a slower clock is read in its order later',
  options,
  async (scene) => {
    const romeo = await comesBy(scene, 1, 'romeo@verona.example/orchard')
    const gone = await comesBy(scene, 0, 'juliet@verona.example/balcony')
    scene.jumps(0, 6 * HOUR_MS)
    await gone.leaves()
    for (const id of ['m1', 'm2']) await says(romeo, id)
    await scene.loses(0)
    scene.jumps(1, -6 * HOUR_MS)
    for (const id of ['m3', 'm4']) await says(romeo, id)
    scene.comesBy(1)
    const juliet = await scene.connect('juliet@verona.example/balcony')
    await juliet.sends('<presence/>')
    const read = await receives(juliet)
    expect(read.map(([id]) => id)).toEqual(['m1', 'm2', 'm3', 'm4'])
    expect(grow(read)).toBe(true)
  },
)
