import { expect } from 'vitest'
import { slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, playScenes } from './stage.ts'

const service = 'pubsub.localhost'
const node = 'sonnets'

playScenes('A service of nodes, on slixmpp', { juliet: slixmppAdept, romeo: slixmppAdept }, (scene) => {
  scene('XEP-0060 §6.1, §7.1: who has subscribed is told of what is published', async ({ juliet, romeo }) => {
    await Promise.all([juliet.login(), romeo.login()])
    await romeo.ask('create', { service, node })
    expect(await juliet.ask('subscribe', { service, node })).toBe('subscribed')
    await romeo.ask('publish', { service, node, id: '18', body: 'Shall I compare thee' })
    const told = { peer: service, node, id: '18', body: 'Shall I compare thee' }
    await expectSoon(() => juliet.told('published').filter(({ peer }) => peer === service)).toMatchObject([told])
    expect(await juliet.ask('items', { service, node })).toEqual({ 18: 'Shall I compare thee' })
  })

  scene('XEP-0060 §7.1.3.1, §8.1.3.2: who may not publish, or takes a name that is taken, is refused', async ({ juliet }) => {
    await expect(juliet.ask('publish', { service, node, id: '19', body: 'Nothing like' })).rejects.toThrow('forbidden')
    await expect(juliet.ask('create', { service, node })).rejects.toThrow('conflict')
    await expect(juliet.ask('items', { service, node: 'comedies' })).rejects.toThrow('item-not-found')
  })

  scene('XEP-0060 §7.2: who has subscribed is told of what is retracted', async ({ juliet, romeo }) => {
    await romeo.ask('retract', { service, node, id: '18' })
    await expectSoon(() => juliet.told('retracted')).toMatchObject([{ peer: service, node, id: '18' }])
    expect(await juliet.ask('items', { service, node })).toEqual({})
  })
})
