import { expect } from 'vitest'
import { type Actor, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'
import { subscriptions } from '../subscriptions.ts'

const options = { modules: [presence, subscriptions, offline, mam], carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const prefs = (standard: string, always: readonly string[] = [], never: readonly string[] = []): string => {
  const list = (name: string, jids: readonly string[]) => `<${name}>${jids.map((jid) => `<jid>${jid}</jid>`).join('')}</${name}>`
  return `<prefs xmlns="${NS}" default="${standard}">${list('always', always)}${list('never', never)}</prefs>`
}
const asks = (actor: Actor): Promise<void> => actor.sends(xml`<iq type="get" id="p"><prefs xmlns="${NS}"/></iq>`)
const sets = (actor: Actor, content: string): Promise<void> => actor.sends(xml`<iq type="set" id="p">${content}</iq>`)
const told = (actor: Actor, content: string): string =>
  xml`<iq type="result" id="p" from="${actor.bareJid}" to="${actor.jid}">${content}</iq>`
const chooses = async (actor: Actor, content: string): Promise<void> => {
  await actor.ignores()
  await sets(actor, content)
  await actor.receives(told(actor, content))
}
const says = (actor: Actor, to: string, body: string): Promise<void> =>
  actor.sends(xml`<message type="chat" to="${to}" id="${body}"><body>${body}</body></message>`)

/** What is in the actor's archive, by id. */
const archiveOf = async (actor: Actor): Promise<readonly (string | undefined)[]> => {
  await actor.ignores()
  await actor.sends(xml`<iq type="set" id="q"><query xmlns="${NS}"/></iq>`)
  const results = (await actor.collects()).slice(0, -1)
  return results.map(
    (each) =>
      each.getChild('result', NS)?.getChild('forwarded', 'urn:xmpp:forward:0')?.getChild('message', 'jabber:client')?.attrs.id,
  )
}

const pair = async (scene: Scene) => ({
  romeo: await scene.connect(`${ROMEO}/orchard`),
  juliet: await scene.comesOnline(`${JULIET}/balcony`),
})

conversation('XEP-0441 §2.1: preferences are told, set and told again, to every device', options, async (scene) => {
  const { juliet } = await pair(scene)
  await asks(juliet)
  await juliet.receives(told(juliet, prefs('always')))
  const chosen = prefs('roster', [ROMEO, 'nurse@verona.example/hall'], ['montague@verona.example'])
  await chooses(juliet, chosen)
  const phone = await scene.connect(`${JULIET}/phone`)
  await asks(phone)
  await phone.receives(told(phone, chosen))
})

conversation('XEP-0441 §2.1.2, §2.1.3: a list that is missing is empty, and addresses are prepared', options, async (scene) => {
  const { juliet } = await pair(scene)
  await sets(
    juliet,
    `<prefs xmlns="${NS}" default="never"><always><jid> ROMEO@verona.example </jid><jid>${ROMEO}</jid></always></prefs>`,
  )
  await juliet.receives(told(juliet, prefs('never', [ROMEO])))
})

conversation(
  'XEP-0441 §2.1.1: what is never archived is still delivered, at once or later, and is in the archive of the other side',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    await chooses(juliet, prefs('never'))
    await says(romeo, JULIET, 'm1')
    expect((await juliet.next()).attrs.id).toBe('m1')
    await juliet.leaves()
    await says(romeo, JULIET, 'm2')
    const phone = await scene.connect(`${JULIET}/phone`)
    expect(await archiveOf(phone)).toEqual([])
    await phone.sends('<presence/>')
    expect((await phone.collects()).filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)).toEqual(['m2'])
    await says(phone, romeo.jid, 'm3')
    expect(await archiveOf(phone)).toEqual([])
    expect(await archiveOf(romeo)).toEqual(['m1', 'm2', 'm3'])
    await scene.driver.check()
  },
)

conversation('XEP-0441 §2.1.1: by default always, unless the sender or the addressee is on the list', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  const nurse = await scene.connect('nurse@verona.example/hall')
  await chooses(juliet, prefs('always', [], [ROMEO]))
  await says(romeo, JULIET, 'r1')
  await says(nurse, JULIET, 'n1')
  await says(juliet, romeo.jid, 'r2')
  await says(juliet, nurse.jid, 'n2')
  expect(await archiveOf(juliet)).toEqual(['n1', 'n2'])
  await chooses(juliet, prefs('always'))
  await says(romeo, JULIET, 'r3')
  expect(await archiveOf(juliet)).toEqual(['n1', 'n2', 'r3'])
})

conversation(
  'XEP-0441 §2.3.1: a full JID is one resource, a bare one all of them; never is stronger than always',
  options,
  async (scene) => {
    const { romeo, juliet } = await pair(scene)
    const street = await scene.connect(`${ROMEO}/street`)
    await chooses(juliet, prefs('never', [romeo.jid]))
    await says(romeo, JULIET, 'o1')
    await says(street, JULIET, 's1')
    await says(juliet, romeo.jid, 'o2')
    await says(juliet, ROMEO, 'b1')
    expect(await archiveOf(juliet)).toEqual(['o1', 'o2'])
    await chooses(juliet, prefs('always', [romeo.jid], [ROMEO]))
    await says(romeo, JULIET, 'o3')
    expect(await archiveOf(juliet)).toEqual(['o1', 'o2'])
  },
)

conversation('XEP-0441 §2.1.1, §2.3.1: roster means the contacts in it, online or not', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  const nurse = await scene.connect('nurse@verona.example/hall')
  await chooses(juliet, prefs('roster', ['nurse@verona.example']))
  await juliet.sends(xml`<iq type="set" id="r"><query xmlns="jabber:iq:roster"><item jid="${ROMEO}"/></query></iq>`)
  const tybalt = await scene.connect('tybalt@verona.example/square')
  for (const sender of [romeo, nurse, tybalt]) await says(sender, JULIET, `${sender.bareJid}`)
  expect(await archiveOf(juliet)).toEqual([ROMEO, 'nurse@verona.example'])
  await juliet.leaves()
  scene.clock.advance('1h')
  await says(romeo, JULIET, 'm2')
  await says(tybalt, JULIET, 'm3')
  const phone = await scene.connect(`${JULIET}/phone`)
  expect(await archiveOf(phone)).toEqual([ROMEO, 'nurse@verona.example', 'm2'])
})

conversation(
  'XEP-0441 §2.1: preferences that cannot be read, or are too long, are refused and change nothing',
  { ...options, config: { modules: { mam: { maxPreferences: 3 } } } },
  async (scene) => {
    const { juliet } = await pair(scene)
    await chooses(juliet, prefs('never'))
    for (const [content, condition] of [
      [prefs('sometimes'), 'bad-request'],
      [`<prefs xmlns="${NS}"/>`, 'bad-request'],
      [prefs('always', ['@']), 'jid-malformed'],
      [prefs('always', ['']), 'jid-malformed'],
      [prefs('always', ['a@b.example', 'c@d.example'], ['e@f.example', 'g@h.example']), 'policy-violation'],
    ] as const) {
      await sets(juliet, content)
      const [answer] = await juliet.collects()
      expect([answer?.attrs.type, answer?.getChild('error')?.getChildren()[0]?.name], content).toEqual(['error', condition])
    }
    await asks(juliet)
    await juliet.receives(told(juliet, prefs('never')))
  },
)

conversation('XEP-0441 §2.1: nobody reads or sets the preferences of another', options, async (scene) => {
  const { romeo } = await pair(scene)
  for (const [type, content] of [
    ['get', `<prefs xmlns="${NS}"/>`],
    ['set', prefs('never')],
  ] as const) {
    await romeo.sends(xml`<iq type="${type}" id="p" to="${JULIET}">${content}</iq>`)
    await romeo.receives(refusal('forbidden', { id: 'p', from: JULIET, to: romeo.jid }))
  }
})

conversation('XEP-0441 §2.1: a deleted account leaves no preferences behind', options, async (scene) => {
  const { romeo, juliet } = await pair(scene)
  await chooses(juliet, prefs('never'))
  await scene.server.accounts.delete(juliet.bareJid)
  const again = await scene.connect(`${JULIET}/phone`)
  await asks(again)
  await again.receives(told(again, prefs('always')))
  await says(romeo, again.jid, 'm1')
  expect(await archiveOf(again)).toEqual(['m1'])
})
