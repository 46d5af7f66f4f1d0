import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasRedis, type RedisServer, redisServer } from '#server/cluster/contract/redis-server.ts'
import type { Actor } from '#server/testing/actor.ts'
import { any, xml } from '#server/testing/match.ts'
import { PASSWORD, ProgramUnderTest } from '#server/testing/program-under-test.ts'
import { mongoServer } from '#storage/contract/mongodb-server.ts'

/** Decision 0010: nodes whose lease is over, because they did not run or could not reach Redis. */

const SM = 'urn:xmpp:sm:3'
const EXIT_FENCED = 75
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const database = await mongoServer()
afterAll(() => database?.stop())

const message = (id: string, to: string) => `<message type="chat" id="${id}" to="${to}@localhost"><body>${id}</body></message>`
/** The ids of all messages that come before the archive has been read, and how many are in that. */
const readsAll = async (actor: Actor): Promise<{ readonly live: readonly string[]; readonly archived: number }> => {
  await actor.sends('<iq type="set" id="mam"><query xmlns="urn:xmpp:mam:2"/></iq>')
  const live: string[] = []
  let archived = 0
  for (let next = await actor.next(); next.attrs.id !== 'mam'; next = await actor.next()) {
    if (next.getChild('result', 'urn:xmpp:mam:2') !== undefined) archived++
    else if (next.name === 'message') live.push(next.attrs.id ?? '')
  }
  return { live, archived }
}
const comes = async (actor: Actor, id: string): Promise<void> => {
  for (let tries = 0; ; )
    try {
      if ((await actor.next()).attrs.id === id) return
    } catch (error) {
      if (actor.hasEnded || ++tries > 6) throw error
    }
}

describe.skipIf(database === undefined || !hasRedis)(
  `two nodes with Redis and ${database?.name ?? 'a MongoDB that is not here'}`,
  () => {
    let redis: RedisServer
    let nodes: readonly [ProgramUnderTest, ProgramUnderTest]
    beforeEach(async () => {
      redis = await redisServer()
      ends.push(() => redis.stop())
      const url = database?.newUrl()
      const configured = async (name: string): Promise<ProgramUnderTest> => {
        const node = await ProgramUnderTest.configure(
          `store: { driver: mongodb, url: "${url}" }\ncluster: { redis: "${redis.url}", node: ${name}, lease: 3s }`,
        )
        ends.push(() => node.remove())
        node.start()
        return node
      }
      nodes = [await configured('n1'), await configured('n2')]
      for (const node of nodes) await node.becomes(200)
      for (const name of ['romeo', 'juliet', 'benvolio']) await nodes[0].addAccount(name)
    }, 90_000)

    test('P4: one that was stopped for longer than its lease harms nothing when it goes on, and ends; others have taken its place', async () => {
      const [first, second] = nodes
      await first.connect('juliet', 'balcony')
      const benvolio = await first.connect('benvolio', 'street')
      await benvolio.sends(`<enable xmlns="${SM}" resume="true"/>`)
      const [enabled] = [await benvolio.next()]
      const romeo = await second.connect('romeo', 'orchard')

      first.signal('SIGSTOP')
      await benvolio.sends(xml`${message('b1', 'juliet')}`)
      await romeo.sends(xml`${message('r1', 'juliet')}`)
      const juliet = await second.connect('juliet', 'balcony')
      await juliet.sends('<presence/>')
      await comes(juliet, 'r1')
      await romeo.sends(xml`${message('r2', 'juliet')}`)
      await comes(juliet, 'r2')

      first.signal('SIGCONT')
      expect(await first.ended()).toBe(EXIT_FENCED)
      expect(await first.says('node-fenced')).toMatchObject({ reason: 'late' })
      const again = await second.visit()
      await again.logsIn('benvolio', PASSWORD)
      await again.sends(xml`<resume xmlns="${SM}" previd="${enabled?.attrs.id}" h="0"/>`)
      await again.receives(xml`<resumed xmlns="${SM}" previd="${any}" h="0"/>`)
      await again.sends(xml`${message('b1', 'juliet')}`)
      await comes(juliet, 'b1')
      expect(await readsAll(juliet)).toEqual({ live: [], archived: 3 })

      first.start()
      await first.becomes(200)
    }, 120_000)

    test('Redis away for less than a lease, and back with nothing: sessions go on; for longer: all end, wait for it, and lose nothing', async () => {
      const [first, second] = nodes
      const romeo = await first.connect('romeo', 'orchard')
      await first.connect('benvolio', 'street')
      const juliet = await second.connect('juliet', 'balcony')
      await juliet.sends('<presence/>')
      await romeo.sends(`<enable xmlns="${SM}"/>`)
      await romeo.receives(xml`<enabled xmlns="${SM}"/>`)

      await redis.kill()
      await romeo.sends(xml`${message('m1', 'benvolio')}<r xmlns="${SM}"/>`)
      await romeo.receives(xml`<a xmlns="${SM}" h="1"/>`)
      await redis.start()
      for (const node of nodes) await node.becomes(200)
      await romeo.sends(xml`${message('m2', 'juliet')}<r xmlns="${SM}"/>`)
      await comes(juliet, 'm2')
      for (const node of nodes) expect(node.log.map(({ event }) => event)).not.toContain('node-fenced')

      await redis.kill()
      await second.becomes(503, /Redis/)
      expect(await Promise.all(nodes.map((node) => node.ended()))).toEqual([EXIT_FENCED, EXIT_FENCED])
      second.start()
      await second.becomes(503, /^it waits for Redis/)
      await redis.start()
      await second.becomes(200)
      const benvolio = await second.connect('benvolio', 'square')
      await benvolio.sends('<presence/>')
      await comes(benvolio, 'm1')
      expect(await readsAll(benvolio)).toEqual({ live: [], archived: 1 })
    }, 120_000)
  },
)
