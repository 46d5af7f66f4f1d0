import { expect } from 'vitest'
import { profanity } from './profanity.ts'
import { type Adept, slixmppAdept } from './slixmpp-adept.ts'
import { expectSoon, meet, playScenes } from './stage.ts'

const cast = { juliet: profanity, romeo: slixmppAdept, 'romeo/tablet': slixmppAdept, tybalt: slixmppAdept }
const decryptedBy = (bot: Adept) => bot.told('decrypted').map(({ body }) => body)

playScenes('OMEMO: Juliet on Profanity, Romeo on slixmpp', cast, (scene) => {
  scene('XEP-0384 §5.3: devices and bundles are published, for everybody to read', async ({ juliet, romeo, tybalt }) => {
    await meet(juliet, romeo)
    await juliet.knowsServer()
    await juliet.type('/omemo gen')
    await juliet.shows(/crytographic materials generated/)
    await tybalt.login()
    for (const { bareJid } of [juliet, romeo]) {
      await expectSoon(() => tybalt.ask('omemo_devices_of', { peer: bareJid }).catch(String)).toHaveLength(1)
      const [device] = (await tybalt.ask('omemo_devices_of', { peer: bareJid })) as readonly number[]
      await expectSoon(() => tybalt.ask('omemo_bundle_keys', { peer: bareJid, device }).catch(String)).toBeGreaterThan(90)
    }
  })

  scene('XEP-0384 §5.5: what Profanity encrypts, slixmpp reads', async ({ juliet, romeo }) => {
    for (const line of ['/omemo trustmode blind', '/omemo log on', `/omemo start ${romeo.bareJid}`]) await juliet.type(line)
    await juliet.shows(/OMEMO/)
    await juliet.send(romeo.bareJid, 'Art thou not Romeo')
    await expectSoon(() => decryptedBy(romeo)).toEqual(['Art thou not Romeo'])
  })

  scene('XEP-0384 §5.6: what slixmpp encrypts, Profanity reads', async ({ juliet, romeo }) => {
    expect(await romeo.ask('send_encrypted', { peer: juliet.bareJid, body: 'Neither, fair saint' })).toEqual([])
    await expectSoon(() => juliet.heardFrom(romeo.bareJid)).toEqual(['Neither, fair saint'])
  })

  scene('XEP-0160 §2: what was encrypted for somebody offline is read at the next login', async ({ juliet, romeo }) => {
    await romeo.logout()
    await expectSoon(() => juliet.seesAvailable(romeo.bareJid)).toBe(false)
    await juliet.send(romeo.bareJid, 'How camest thou hither')
    await romeo.login()
    await expectSoon(() => decryptedBy(romeo).at(-1)).toBe('How camest thou hither')
  })

  scene('XEP-0313 §4: what was encrypted is read from the archive', async ({ juliet, romeo }) => {
    await romeo.logout()
    await expectSoon(() => juliet.seesAvailable(romeo.bareJid)).toBe(false)
    await juliet.send(romeo.bareJid, 'The orchard walls are high')
    // Who is not available gets no offline messages (RFC 6121 §8.5.2.2).
    await romeo.ask('be_quiet', { is_quiet: true })
    await romeo.login()
    await expectSoon(() => romeo.ask('archive', { peer: juliet.bareJid, page: 50 })).toEqual(['The orchard walls are high'])
    expect(decryptedBy(romeo)).not.toContain('The orchard walls are high')
  })

  scene('XEP-0384 §5.3.1: a contact is told of a new device, and encrypts for it, too', async (company) => {
    const { juliet, tybalt, 'romeo/tablet': tablet } = company
    await tablet.login()
    await expectSoon(() => tybalt.ask('omemo_devices_of', { peer: tablet.bareJid })).toHaveLength(2)
    // Profanity fetches the keys of all devices that it was told of when a conversation begins.
    await juliet.type('/omemo end')
    await juliet.type(`/omemo start ${tablet.bareJid}`)
    const reads = async () => {
      await juliet.send(tablet.bareJid, 'By whose direction')
      return decryptedBy(tablet)
    }
    await expectSoon(reads).toContain('By whose direction')
  })
})
