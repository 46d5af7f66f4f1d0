import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasRedis, type RedisServer, redisServer } from '#server/cluster/contract/redis-server.ts'
import type { Actor } from '#server/testing/actor.ts'
import { any, xml } from '#server/testing/match.ts'
import { ProgramUnderTest } from '#server/testing/program-under-test.ts'
import type { Element } from '#stanzas/element.ts'
import { mongoServer } from '#storage/contract/mongodb-server.ts'

/** The database or Redis goes away while the server runs, and comes back. */

const SM = 'urn:xmpp:sm:3'
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const database = await mongoServer()
afterAll(() => database?.stop())
const { kill, start } = database ?? {}

const message = (id: string, to: string) => `<message type="chat" id="${id}" to="${to}"><body>${id}</body></message>`
/** The next element of this name, however long it takes; others are nothing to this test. */
const comes = async (actor: Actor, name: string): Promise<Element> => {
  for (let tries = 0; ; )
    try {
      const next = await actor.next()
      if (next.name === name) return next
    } catch (error) {
      if (actor.hasEnded || ++tries > 8) throw error
    }
}

/** Pings the server, and lets everything go that comes before the answer. */
const pings = async (actor: Actor): Promise<void> => {
  await actor.sends(xml`<iq type="get" id="ping" to="localhost"><ping xmlns="urn:xmpp:ping"/></iq>`)
  for (let next = await actor.next(); next.attrs.id !== 'ping'; next = await actor.next());
}

describe.skipIf(kill === undefined || start === undefined || !hasRedis)(
  `a node with Redis and ${database?.name ?? 'a MongoDB that is not here'}`,
  () => {
    let redis: RedisServer
    let node: ProgramUnderTest
    beforeEach(async () => {
      redis = await redisServer()
      ends.push(() => redis.stop())
      node = await ProgramUnderTest.configure(
        `store: { driver: mongodb, url: "${database?.newUrl()}" }\ncluster: { redis: "${redis.url}", node: n1 }`,
      )
      ends.push(() => node.remove())
      node.start()
      await node.becomes(200)
      for (const name of ['romeo', 'juliet']) await node.addAccount(name)
    }, 60_000)

    test('P1, P4: while the database is away nothing is acknowledged, then it is refused; all else goes on, and what was acknowledged is there once', async () => {
      const romeo = await node.connect('romeo', 'orchard')
      const juliet = await node.connect('juliet', 'balcony')
      await romeo.sends(`<enable xmlns="${SM}" resume="true"/>`)
      await romeo.receives(xml`<enabled xmlns="${SM}" id="${any}" resume="true" max="${any}"/>`)
      await juliet.sends('<presence/>')
      await pings(juliet)

      // For a moment: it is as if nothing had been.
      await kill?.()
      await romeo.sends(xml`${message('m1', 'juliet@localhost')}<r xmlns="${SM}"/>`)
      let isAcked = false
      const acked = comes(romeo, 'a').then((element) => {
        isAcked = true
        return element
      })
      await node.becomes(503, /^the store /)
      await pings(juliet)
      await juliet.sends(xml`<presence to="${romeo.jid}"><status>Ay me</status></presence>`)
      await pings(juliet)
      expect(isAcked).toBe(false)
      await start?.()
      expect((await acked).attrs).toMatchObject({ h: '1' })
      expect((await comes(juliet, 'message')).attrs).toMatchObject({ id: 'm1', from: romeo.jid })
      await node.becomes(200)

      // For longer: whoever sends is slowed, then refused.
      await kill?.()
      const many = Array.from({ length: 700 }, (_, index) => `n${index}`)
      await romeo.sends(xml`${many.map((id) => message(id, 'juliet@localhost')).join('')}`)
      await expect.poll(() => node.measure('waxwing_streams_slowed_total'), { timeout: 20_000 }).toBeGreaterThan(0)
      await pings(juliet)
      for (const id of many) {
        const refused = await comes(romeo, 'message')
        expect(refused.attrs).toMatchObject({ id, type: 'error' })
        expect(refused.getChild('error')?.children).toMatchObject([{ name: 'resource-constraint' }])
      }
      await node.becomes(503, /^the store cannot write: MongoDB cannot be reached/)
      await start?.()
      await node.becomes(200)
      await romeo.sends(xml`${message('m2', 'juliet@localhost')}<r xmlns="${SM}"/>`)
      expect((await comes(juliet, 'message')).attrs).toMatchObject({ id: 'm2' })
      expect(await comes(romeo, 'a')).toMatchObject({ attrs: { h: String(many.length + 2) } })
      await juliet.sends('<iq type="set" id="mam"><query xmlns="urn:xmpp:mam:2"/></iq>')
      let archived = 0
      for (let next = await juliet.next(); next.attrs.id !== 'mam'; next = await juliet.next())
        if (next.name === 'message') archived++
      expect(archived).toBe(2)
      expect(node.log.map(({ event }) => event)).not.toContain('node-fenced')
    }, 240_000)
  },
)
