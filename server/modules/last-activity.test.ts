import { any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import { lastActivity } from './last-activity.ts'

const modules = [lastActivity]
const ask = (id: string, to: string) => xml`<iq type="get" id="${id}" to="${to}"><query xmlns="jabber:iq:last"/></iq>`

const friends = async (scene: Scene) => {
  const romeo = await scene.comesOnline('romeo@verona.example/orchard')
  const juliet = await scene.comesOnline('juliet@verona.example/balcony')
  await scene.befriend(romeo, juliet)
  const answer = (id: string, seconds: number, status = '') =>
    xml`<iq type="result" id="${id}" from="${juliet.bareJid}" to="${romeo.jid}"><query xmlns="jabber:iq:last" seconds="${seconds}">${status}</query></iq>`
  return { romeo, juliet, answer }
}

conversation('XEP-0012 §3: a contact learns how long ago Juliet left', { modules }, async (scene) => {
  const { romeo, juliet, answer } = await friends(scene)
  await juliet.sends(xml`<presence type="unavailable"><status>Gone to the friar</status></presence>`)
  await juliet.leaves()
  await romeo.ignores()
  scene.clock.advance('75s')
  await romeo.sends(ask('l1', juliet.bareJid))
  await romeo.receives(answer('l1', 75, 'Gone to the friar'))
})

conversation('XEP-0012 §3: a lost connection counts, and has no last words', { modules }, async (scene) => {
  const { romeo, juliet, answer } = await friends(scene)
  await juliet.vanishes()
  await romeo.ignores()
  scene.clock.advance('2m')
  await romeo.sends(ask('l1', juliet.bareJid))
  await romeo.receives(answer('l1', 120))
})

conversation('XEP-0012 §3: while any resource is available the answer is 0', { modules }, async (scene) => {
  const { romeo, juliet, answer } = await friends(scene)
  const phone = await scene.comesOnline('juliet@verona.example/phone')
  await juliet.leaves()
  await romeo.ignores()
  scene.clock.advance('75s')
  await romeo.sends(ask('l1', juliet.bareJid))
  await romeo.receives(answer('l1', 0))
  await phone.leaves()
  await romeo.ignores()
  scene.clock.advance('5s')
  await romeo.sends(ask('l2', juliet.bareJid))
  await romeo.receives(answer('l2', 5))
})

conversation(
  'XEP-0012 §3: the status is kept only where the operator lets it be',
  { modules, config: { modules: { 'last-activity': { keepStatus: false } } } },
  async (scene) => {
    const { romeo, juliet, answer } = await friends(scene)
    await juliet.sends(xml`<presence type="unavailable"><status>Gone to the friar</status></presence>`)
    await romeo.ignores()
    await romeo.sends(ask('l1', juliet.bareJid))
    await romeo.receives(answer('l1', 0))
  },
)

conversation('XEP-0012 §8: a resource that is connected and not available is not betrayed', { modules }, async (scene) => {
  const { romeo, juliet, answer } = await friends(scene)
  await juliet.sends('<presence type="unavailable"/>')
  await romeo.ignores()
  scene.clock.advance('30s')
  await romeo.sends(ask('l1', juliet.bareJid))
  await romeo.receives(answer('l1', 30))
})

conversation(
  'XEP-0012 §3, §8: a stranger learns nothing, not even whether there is such an account, and Juliet hears nothing',
  { modules },
  async ({ connect, comesOnline }) => {
    const tybalt = await connect('tybalt@verona.example/square')
    const juliet = await comesOnline('juliet@verona.example/balcony')
    for (const to of [juliet.bareJid, 'nobody@verona.example']) {
      await tybalt.sends(ask('l2', to))
      await tybalt.receives(refusal('forbidden', { id: 'l2', from: to, to: tybalt.jid }))
    }
    await juliet.receivesNothing()
  },
)

conversation(
  'XEP-0012 §4, §8: a resource is asked by contacts only, and strangers cannot tell whether it is there',
  { modules },
  async (scene) => {
    const { romeo, juliet } = await friends(scene)
    const tybalt = await scene.connect('tybalt@verona.example/square')
    for (const to of [juliet.jid, `${juliet.bareJid}/nowhere`, 'nobody@verona.example/nowhere']) {
      await tybalt.sends(ask('l3', to))
      await tybalt.receives(refusal('forbidden', { id: 'l3', from: to, to: tybalt.jid }))
    }
    await juliet.receivesNothing()

    await romeo.sends(ask('l4', juliet.jid))
    await juliet.receives(xml`<iq type="get" id="l4" from="${romeo.jid}" to="${juliet.jid}"><query xmlns="jabber:iq:last"/></iq>`)
    const idle = xml`<query xmlns="jabber:iq:last" seconds="123"/>`
    await juliet.sends(xml`<iq type="result" id="l4" to="${romeo.jid}">${idle}</iq>`)
    await romeo.receives(xml`<iq type="result" id="l4" from="${juliet.jid}" to="${romeo.jid}">${idle}</iq>`)
    await romeo.sends(ask('l5', `${juliet.bareJid}/nowhere`))
    await romeo.receives(refusal('service-unavailable', { id: 'l5', from: `${juliet.bareJid}/nowhere`, to: romeo.jid }))
  },
)

conversation('XEP-0012 §3: of a contact that never was online nothing is known', { modules }, async (scene) => {
  const nurse = await scene.connect('nurse@verona.example/house')
  await nurse.sends(ask('l6', nurse.bareJid))
  await nurse.receives(refusal('item-not-found', { id: 'l6', from: nurse.bareJid, to: nurse.jid }))
})

conversation('XEP-0012 §5: the server tells how long it has been running', { modules }, async ({ connect, clock, domain }) => {
  clock.advance(1_234_567)
  const again = await connect('juliet@verona.example/chamber')
  await again.sends(ask('l7', domain))
  await again.receives(
    xml`<iq type="result" id="l7" from="${domain}" to="${again.jid}"><query xmlns="jabber:iq:last" seconds="1234"/></iq>`,
  )
  await again.sends(xml`<iq type="set" id="l8" to="${domain}"><query xmlns="jabber:iq:last"/></iq>`)
  await again.receives(refusal('service-unavailable', { id: 'l8', from: domain, to: again.jid }))
})

conversation('XEP-0012: what is known goes with the account', { modules }, async (scene) => {
  const { juliet } = await friends(scene)
  await juliet.leaves()
  await scene.server.accounts.delete(juliet.bareJid)
  await scene.settle()
  const again = await scene.connect('juliet@verona.example/balcony')
  await again.sends(ask('l9', again.bareJid))
  await again.receives(refusal('item-not-found', { id: 'l9', from: any, to: again.jid }))
})
