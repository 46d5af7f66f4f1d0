import { expect } from 'vitest'
import { presence } from '#server/modules/presence.ts'
import { conversation, xml } from '#server/testing/conversation.ts'

const SM = 'urn:xmpp:sm:3'

conversation(
  'XEP-0198 §5: a session waits two seconds for its record, and goes on without it while the store is away',
  { modules: [presence], nodes: 2, carriers: ['memory'] },
  async ({ comesOnline, clock, driver, settle }) => {
    const juliet = await comesOnline('juliet@verona.example/balcony')
    await juliet.sends(`<enable xmlns="${SM}" resume="true"/>`)
    await juliet.ignores()
    const ping = async (id: string): Promise<() => boolean> => {
      let isAnswered = false
      await juliet.sends(xml`<iq type="get" id="${id}"><ping xmlns="urn:xmpp:ping"/></iq>`)
      const answered = async (): Promise<void> => {
        for (let next = await juliet.next(); next.attrs.id !== id; next = await juliet.next());
        isAnswered = true
      }
      void answered()
      await settle()
      return () => isAnswered
    }
    driver.hold()
    const isFirstAnswered = await ping('p1')
    clock.advance('1999ms')
    await settle()
    expect(isFirstAnswered()).toBe(false)
    clock.advance(1)
    await settle()
    expect(isFirstAnswered()).toBe(true)
    expect((await ping('p2'))()).toBe(true)

    driver.release()
    await settle()
    expect((await ping('p3'))()).toBe(true)
  },
)
