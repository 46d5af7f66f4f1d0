import { offline } from './modules/offline.ts'
import { presence } from './modules/presence.ts'
import { roster } from './modules/roster.ts'
import type { Actor } from './testing/actor.ts'
import { any, conversation, type Scene, xml } from './testing/conversation.ts'

const modules = [presence, offline, roster]
const SM = 'urn:xmpp:sm:3'
const names = ['romeo', 'tybalt'] as const

const enables = async (actor: Actor): Promise<string> => {
  await actor.sends(`<enable xmlns="${SM}" resume="true"/>`)
  const [enabled] = await actor.receives(`<enabled xmlns="${SM}" id="${any}" resume="true" max="300"/>`)
  return enabled?.attrs.id ?? ''
}

const resumes = async ({ visit, comesBy }: Scene, name: string, token: string): Promise<Actor> => {
  comesBy(1)
  const actor = await visit()
  await actor.logsIn(name, 'secret')
  await actor.sends(`<resume xmlns="${SM}" previd="${token}" h="0"/>`)
  return actor
}

const asked = `<r xmlns="${SM}"/>`
const acknowledged = `<a xmlns="${SM}" h="1"/>`
const toNurse = xml`<message type="chat" to="nurse@verona.example" id="m1"><body>Hie thee hence</body></message>`

conversation(
  'a node that is drained lets its clients go at a pace, and those who are still there write to anybody',
  { modules, nodes: 2 },
  async (scene) => {
    const { comesBy, comesOnline, createAccount, clock, settle, server } = scene
    await createAccount('nurse@verona.example')
    const actors: Actor[] = []
    const tokens: string[] = []
    for (const name of names) {
      comesBy(0)
      const actor = await comesOnline(`${name}@verona.example/phone`)
      actors.push(actor)
      tokens.push(await enables(actor))
    }
    const [, tybalt] = actors
    if (tybalt === undefined) throw new Error('nobody is there')
    const draining = server.drain()
    await settle()
    if (server.clientCount() !== 1) throw new Error(`${server.clientCount()} clients are left`)
    const romeo = await resumes(scene, 'romeo', tokens[0] ?? '')
    await romeo.receives(`<resumed xmlns="${SM}" previd="${tokens[0]}" h="0"/>`, any)

    // Nurse is at home nowhere, and this node makes nobody's home any more.
    await tybalt.sends(toNurse + asked)
    await tybalt.receives(acknowledged)

    clock.advance('1s')
    await draining
    if (server.clientCount() !== 0) throw new Error('somebody is left')
    const again = await resumes(scene, 'tybalt', tokens[1] ?? '')
    await again.receives(`<resumed xmlns="${SM}" previd="${tokens[1]}" h="1"/>`, any)
    comesBy(1)
    const nurse = await scene.connect('nurse@verona.example/kitchen')
    await nurse.sends('<presence/>')
    const [came] = (await nurse.collects()).filter(({ name }) => name === 'message')
    if (came?.attrs.id !== 'm1') throw new Error('the message did not come')
  },
)

conversation('who stops a node that is being drained does not wait for its pace', { modules, nodes: 2 }, async (scene) => {
  for (const name of names) {
    scene.comesBy(0)
    await enables(await scene.comesOnline(`${name}@verona.example/phone`))
  }
  void scene.server.drain()
  await scene.drains(0)
  if (scene.server.sessions.count !== 0) throw new Error('somebody is left')
})

conversation('a server without others has nobody to leave its clients to', { modules, nodes: 1 }, async ({ server }) => {
  if (server.hasOthers()) throw new Error('there are others')
})
