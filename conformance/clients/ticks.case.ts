import { expect } from 'vitest'
import { slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, meet, playScenes } from './stage.ts'

playScenes('Ticks, on slixmpp', { juliet: slixmppAdept, romeo: slixmppAdept }, (scene) => {
  scene('XEP-0184 §4, XEP-0333 §4.2: a message is delivered, then read', async ({ juliet, romeo }) => {
    await meet(juliet, romeo)
    await juliet.send(romeo.bareJid, 'O Romeo')
    await expectSoon(juliet.receipted).toEqual(['O Romeo'])
    const [{ id, peer } = {}] = romeo.told('message')
    expect(juliet.told('displayed')).toEqual([])
    await romeo.ask('display', { peer, id })
    await expectSoon(() => juliet.told('displayed')).toMatchObject([{ peer: romeo.bareJid, id }])
  })
})
