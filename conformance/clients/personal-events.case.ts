import { expect } from 'vitest'
import { slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, meet, playScenes } from './stage.ts'

const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='
const otherPicture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='

playScenes('Personal events, on slixmpp', { juliet: slixmppAdept, romeo: slixmppAdept, tybalt: slixmppAdept }, (scene) => {
  scene('XEP-0163 §4.3, XEP-0107: a mood reaches a contact, and no stranger', async ({ juliet, romeo, tybalt }) => {
    await meet(juliet, romeo)
    await tybalt.login()
    await juliet.ask('mood', { value: 'in_love' })
    await expectSoon(() => romeo.told('mood').map(({ peer, body }) => `${peer} ${body}`)).toEqual([`${juliet.bareJid} in_love`])
    expect(tybalt.told('mood')).toEqual([])
  })

  scene('XEP-0163 §4.3.4, XEP-0172: a contact who comes back is told the latest nickname', async ({ juliet, romeo }) => {
    await romeo.logout()
    await juliet.ask('nick', { nick: 'Jule' })
    await juliet.ask('nick', { nick: 'The sun' })
    await romeo.login()
    await expectSoon(() => romeo.told('nick').map(({ body }) => body)).toEqual(['The sun'])
  })

  scene(
    'XEP-0084 §3, XEP-0398 §3.1: a published avatar is found by a contact at its node and in the card',
    async ({ juliet, romeo }) => {
      const id = await juliet.ask('avatar', { data: picture })
      await expectSoon(() => romeo.told('avatar').at(-1)?.id).toBe(id)
      expect(await romeo.ask('picture', { peer: juliet.bareJid, id })).toBe(picture)
      await expectSoon(() => romeo.told('photo').at(-1)?.id).toBe(id)
      expect(await romeo.ask('card_photo', { peer: juliet.bareJid })).toBe(picture)
    },
  )

  scene('XEP-0398 §3.2, §4: a picture in the card is found by a contact at the node', async ({ juliet, romeo }) => {
    await juliet.ask('photo', { data: otherPicture })
    expect(await romeo.ask('card_photo', { peer: juliet.bareJid })).toBe(otherPicture)
    const before = romeo.told('avatar')[0]?.id
    await expectSoon(() => romeo.told('avatar').at(-1)?.id).not.toBe(before)
    const id = romeo.told('avatar').at(-1)?.id
    expect(await romeo.ask('picture', { peer: juliet.bareJid, id })).toBe(otherPicture)
    await expectSoon(() => romeo.told('photo').at(-1)?.id).toBe(id)
  })
})
