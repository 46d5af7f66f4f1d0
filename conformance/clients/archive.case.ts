import { expect } from 'vitest'
import { profanity } from './profanity.ts'
import { slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, meet, playScenes } from './stage.ts'

const hers = ['Ay me!', 'O Romeo', 'Deny thy father']
const his = ['She speaks', 'O, speak again']

playScenes('Archives: Juliet on Profanity, Romeo on slixmpp', { juliet: profanity, romeo: slixmppAdept }, (scene) => {
  scene('XEP-0313 §4: slixmpp pages through what was said, in both directions', async ({ juliet, romeo }) => {
    await meet(juliet, romeo)
    for (const line of hers) await juliet.send(romeo.bareJid, line)
    await expectSoon(() => romeo.heardFrom(juliet.bareJid)).toEqual(hers)
    for (const line of his) await romeo.send(juliet.bareJid, line)
    await expectSoon(() => juliet.heardFrom(romeo.bareJid)).toEqual(his)
    expect(await romeo.ask('archive', { peer: juliet.bareJid, page: 3 })).toEqual([...hers, ...his])
    expect(await romeo.ask('archive', { peer: 'nurse@localhost', page: 3 })).toEqual([])
  })

  scene('XEP-0313 §4: Profanity, started anew, shows what it has forgotten', async ({ juliet, romeo }) => {
    await juliet.startAnew()
    await juliet.type('/mam on')
    await juliet.login()
    await juliet.knowsServer()
    await juliet.type(`/msg ${romeo.bareJid}`)
    // COMPAT(Profanity 0.13): of its own archive it shows what others said, not what it said itself.
    await juliet.shows(/She speaks[\s\S]*O, speak again/)
  })
})
