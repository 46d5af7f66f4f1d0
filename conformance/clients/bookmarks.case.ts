import { expect } from 'vitest'
import { profanity } from './profanity.ts'
import { slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, playScenes } from './stage.ts'

const cast = { juliet: profanity, 'juliet/bot': slixmppAdept }

playScenes('Bookmarks: one account on Profanity (XEP-0048) and on slixmpp (XEP-0402)', cast, (scene) => {
  scene('XEP-0411 §3: what Profanity bookmarks, slixmpp finds', async ({ juliet, 'juliet/bot': bot }) => {
    await Promise.all([juliet.login(), bot.login()])
    await juliet.knowsServer()
    await juliet.type('/bookmark add balcony@rooms.localhost nick jule name Balcony autojoin off')
    await expectSoon(() => bot.ask('bookmarks').catch(String)).toEqual({ 'balcony@rooms.localhost': 'Balcony' })
  })

  scene('XEP-0411 §3: what slixmpp bookmarks, Profanity lists at its next login', async ({ juliet, 'juliet/bot': bot }) => {
    await bot.ask('bookmark', { room: 'orchard@rooms.localhost', name: 'Orchard' })
    await juliet.startAnew()
    await juliet.login()
    await juliet.knowsServer()
    await juliet.type('/bookmark list')
    await juliet.shows(/Balcony - balcony@rooms\.localhost/)
    await juliet.shows(/Orchard - orchard@rooms\.localhost/)
  })

  scene('XEP-0411 §3, XEP-0402 §4: slixmpp is told when Profanity removes a bookmark', async ({ juliet, 'juliet/bot': bot }) => {
    await juliet.type('/bookmark remove balcony@rooms.localhost')
    await expectSoon(() => bot.told('retracted').map(({ id }) => id)).toEqual(['balcony@rooms.localhost'])
    expect(await bot.ask('bookmarks')).toEqual({ 'orchard@rooms.localhost': 'Orchard' })
  })
})
