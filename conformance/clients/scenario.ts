import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest'
import type { ServerProcess } from '../server-process.ts'
import { startServer } from '../start-server.ts'
import type { ChatClient, ClientKind } from './chat-client.ts'
import { openRelay, type Relay } from './relay.ts'
import { befriend, expectSoon, keepEvidence, password } from './stage.ts'

const resumeTimeoutSeconds = 12
const firstScenes = 3

type Party = { readonly kind: ClientKind; readonly client: ChatClient; readonly relay: Relay }
type Stage = { readonly server: ServerProcess; readonly juliet: Party; readonly romeo: Party }
type Role = 'juliet' | 'romeo'

const opposite = { juliet: 'romeo', romeo: 'juliet' } as const

/** The story every pair of foreign clients plays: they meet, chat, lose their connections and find what they missed. */
export const playStory = (kinds: Readonly<Record<Role, ClientKind>>): void => {
  describe(`Juliet on ${kinds.juliet.name}, Romeo on ${kinds.romeo.name}`, () => {
    let stage: Stage
    let meeting = 0
    beforeAll(async () => {
      stage = await setStage(kinds)
    }, 60_000)
    afterAll(async () => {
      if (stage !== undefined) await clearStage(stage)
    }, 60_000)
    const scene = (title: string, play: (stage: Stage) => Promise<void>): void =>
      it(title, async (context) => {
        onTestFailed(() => {
          const { server, juliet, romeo } = stage
          const names = `${kinds.juliet.name} ${kinds.romeo.name} ${context.task.name}`
          return keepEvidence(names, { juliet: juliet.client, romeo: romeo.client }, server)
        })
        // A scene that failed may have left a connection cut.
        for (const { relay } of [stage.juliet, stage.romeo]) relay.mend()
        await play(stage)
      })

    const firstScene = (title: string, play: (stage: Stage) => Promise<void>): void =>
      scene(title, async (set) => {
        await play(set)
        meeting++
      })
    // Who never met has nothing to lose: their later scenes fail at once instead of waiting for each line.
    const laterScene = (title: string, play: (stage: Stage) => Promise<void>): void =>
      scene(title, async (set) => {
        if (meeting < firstScenes) throw new Error('not played: they did not get as far as chatting')
        await play(set)
      })
    firstScene('RFC 6120 §5–7: both log in', async ({ juliet, romeo }) => {
      await Promise.all([juliet.client.login(), romeo.client.login()])
      await expectSoon(juliet.client.isOnline).toBe(true)
      await expectSoon(romeo.client.isOnline).toBe(true)
    })
    firstScene('RFC 6121 §3: each subscribes to the other and sees the other available', async ({ juliet, romeo }) => {
      await befriend(romeo.client, juliet.client)
      await befriend(juliet.client, romeo.client)
      for (const [one, other] of [
        [juliet.client, romeo.client],
        [romeo.client, juliet.client],
      ] as const) {
        await expectSoon(() => one.subscriptionWith(other.bareJid)).toBe('both')
        await expectSoon(() => one.seesAvailable(other.bareJid)).toBe(true)
      }
    })
    firstScene('RFC 6120 §10.1, XEP-0184 §5: they chat in order and see receipts', async ({ juliet, romeo }) => {
      for (const [one, other] of [
        [juliet.client, romeo.client],
        [romeo.client, juliet.client],
      ] as const) {
        const bodies = await say(one, other, 'chat', 3)
        await hears(other, one, bodies)
        await expectSoon(one.receipted).toEqual(expect.arrayContaining([...bodies]))
      }
    })
    for (const role of ['juliet', 'romeo'] as const) losses(role, kinds[role].name, laterScene)
  })
}

const losses = (role: Role, name: string, scene: (title: string, play: (stage: Stage) => Promise<void>) => void): void => {
  const parties = (stage: Stage) => ({ loser: stage[role], peer: stage[opposite[role]].client })

  scene(`XEP-0198 §5: ${name} (${role}) is cut off, comes back, and gets what it missed once`, async (stage) => {
    const { loser, peer } = parties(stage)
    loser.relay.cut()
    const missed = await say(peer, loser.client, 'missed', 5)
    loser.relay.mend()
    await hears(loser.client, peer, missed)
    await expectSoon(peer.receipted).toEqual(expect.arrayContaining([...missed]))
    await fence(loser.client, peer, missed)
  })
  scene(`XEP-0198 §5: ${name} (${role}) resumes while its old connection still looks alive`, async (stage) => {
    const { loser, peer } = parties(stage)
    const before = loser.relay.swallowedForClient()
    loser.relay.freeze()
    const missed = await say(peer, loser.client, 'frozen', 4)
    await expectSoon(async () => loser.relay.swallowedForClient()).toBeGreaterThan(before)
    loser.relay.dropClientEnd()
    await hears(loser.client, peer, missed)
    await fence(loser.client, peer, missed)
  })
  scene(`XEP-0198 §5: what ${name} (${role}) wrote into a dead connection arrives once`, async (stage) => {
    const { loser, peer } = parties(stage)
    const before = loser.relay.swallowedFromClient()
    loser.relay.freeze()
    const written = await say(loser.client, peer, 'unsent', 3)
    await expectSoon(async () => loser.relay.swallowedFromClient()).toBeGreaterThan(before)
    loser.relay.dropClientEnd()
    await hears(peer, loser.client, written)
    await fence(peer, loser.client, written)
  })
  scene(`RFC 6121 §8.5.2.2: ${name} (${role}) is away longer than it may resume, and gets what it missed once`, async (stage) => {
    const { loser, peer } = parties(stage)
    loser.relay.cut()
    const early = await say(peer, loser.client, 'early', 2)
    await expectSoon(() => peer.seesAvailable(loser.client.bareJid)).toBe(false)
    const late = await say(peer, loser.client, 'late', 2)
    loser.relay.mend()
    await hears(loser.client, peer, [...early, ...late])
    await expectSoon(() => peer.seesAvailable(loser.client.bareJid)).toBe(true)
    await fence(loser.client, peer, [...early, ...late])
  })
  scene(`XEP-0160 §2: ${name} (${role}) logs out and finds its messages on the next login, once`, async (stage) => {
    const { loser, peer } = parties(stage)
    await loser.client.logout()
    await expectSoon(() => peer.seesAvailable(loser.client.bareJid)).toBe(false)
    const missed = await say(peer, loser.client, 'offline', 4)
    await loser.client.login()
    await hears(loser.client, peer, missed)
    await fence(loser.client, peer, missed)
  })
}

const setStage = async (kinds: Readonly<Record<Role, ClientKind>>): Promise<Stage> => {
  const server = await startServer({ resumeTimeoutSeconds })
  const seat = async (role: Role): Promise<Party> => {
    const kind = kinds[role]
    const bareJid = `${role}@${server.domain}`
    await server.addAccount(bareJid, password)
    const relay = await openRelay(server.ports[kind.door])
    const client = await kind.open({ bareJid, password, domain: server.domain, port: relay.port, caFile: server.caFile })
    return { kind, client, relay }
  }
  return { server, juliet: await seat('juliet'), romeo: await seat('romeo') }
}

const clearStage = async ({ server, juliet, romeo }: Stage): Promise<void> => {
  await Promise.allSettled([juliet.client.dispose(), romeo.client.dispose()])
  await Promise.allSettled([juliet.relay.close(), romeo.relay.close()])
  await server.stop()
}

let lines = 0
const say = async (from: ChatClient, to: ChatClient, word: string, count: number): Promise<readonly string[]> => {
  const bodies = Array.from({ length: count }, () => `${word} ${++lines}`)
  await expectSoon(from.isOnline).toBe(true)
  for (const body of bodies) await from.send(to.bareJid, body)
  return bodies
}

// Only what was said in this scene is compared, so that one failing scene does not fail those after it.
const heardOf = async (hearer: ChatClient, speaker: ChatClient, bodies: readonly string[]): Promise<readonly string[]> =>
  (await hearer.heardFrom(speaker.bareJid)).filter((body) => bodies.includes(body))

const hears = (hearer: ChatClient, speaker: ChatClient, bodies: readonly string[]): Promise<void> =>
  expectSoon(() => heardOf(hearer, speaker, bodies)).toEqual(bodies)

/** A double would come before a later message of the same sender (RFC 6120 §10.1), so one more message proves there is none. */
const fence = async (hearer: ChatClient, speaker: ChatClient, bodies: readonly string[]): Promise<void> => {
  const last = await say(speaker, hearer, 'fence', 1)
  await hears(hearer, speaker, last)
  expect(await heardOf(hearer, speaker, bodies)).toEqual(bodies)
}
