import { expect, test } from 'vitest'
import { type Actor, conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'
import { capped } from './keep-command.ts'

const options = { modules: [presence, offline, mam], carriers: ['memory'] as const }
const NS = 'urn:xmpp:mam:2'
const COMMANDS = 'http://jabber.org/protocol/commands'
const NODE = 'urn:xmpp:mam#configure'
const ROMEO = 'romeo@verona.example'
const JULIET = 'juliet@verona.example'

const command = (attributes: string, content = '') =>
  xml`<iq type="set" id="c" to="verona.example"><command xmlns="${COMMANDS}" node="${NODE}" ${attributes}>${content}</command></iq>`
const says = (actor: Actor, to: string, body: string): Promise<void> =>
  actor.sends(xml`<message type="chat" to="${to}" id="${body}"><body>${body}</body></message>`)

/** Runs the command; gives what is offered and what holds now. */
const begins = async (actor: Actor) => {
  await actor.ignores()
  await actor.sends(command('action="execute"'))
  const answer = (await actor.next()).getChild('command', COMMANDS)
  const field = answer
    ?.getChild('x', 'jabber:x:data')
    ?.getChildren('field')
    .find(({ attrs }) => attrs.var === 'keep')
  return {
    sessionid: answer?.attrs.sessionid ?? '',
    now: field?.getChildText('value'),
    offered: field?.getChildren('option').map((option) => option.getChildText('value')),
  }
}
const submits = async (actor: Actor, value: string) => {
  const { sessionid } = await begins(actor)
  const form = `<x xmlns="jabber:x:data" type="submit"><field var="keep"><value>${value}</value></field></x>`
  await actor.sends(command(`sessionid="${sessionid}" action="complete"`, form))
  return actor.next()
}
const chooses = async (actor: Actor, value: string): Promise<void> =>
  expect((await submits(actor, value)).getChild('command', COMMANDS)?.attrs.status).toBe('completed')

const archiveOf = async (actor: Actor): Promise<readonly (string | undefined)[]> => {
  await actor.ignores()
  await actor.sends(xml`<iq type="set" id="q"><query xmlns="${NS}"/></iq>`)
  const results = (await actor.collects()).slice(0, -1)
  return results.map((each) =>
    each
      .getChild('result', NS)
      ?.getChild('forwarded', 'urn:xmpp:forward:0')
      ?.getChild('message', 'jabber:client')
      ?.getChildText('body'),
  )
}
/** Lets the sweep of the ledger go by. */
const passes = async ({ clock, settle }: Scene, ...times: readonly string[]): Promise<void> => {
  for (const time of times) {
    clock.advance(time)
    await settle()
  }
}

conversation(
  'XEP-0441 §2.2: an account finds how long its messages are kept, and changes it, as far as the server allows',
  options,
  async ({ connect }) => {
    const juliet = await connect(`${JULIET}/balcony`)
    const { now, offered } = await begins(juliet)
    expect([now, offered]).toEqual(['default', ['default', 'until-delivered', 'day', 'week', 'month']])
    await chooses(juliet, 'week')
    expect((await begins(juliet)).now).toBe('week')
    await chooses(juliet, 'default')
    expect((await begins(juliet)).now).toBe('default')
    for (const value of ['forever', 'year', '', 'long'])
      expect((await submits(juliet, value)).getChild('error')?.getChildren()[0]?.name, value).toBe('bad-request')
  },
)

conversation(
  'DESIGN P6: where the server keeps messages for ever, an account may choose any time',
  { ...options, config: { ledger: { retention: 'forever' } } },
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await chooses(juliet, 'day')
    await says(romeo, JULIET, 'm1')
    await passes(scene, '23h')
    await says(romeo, JULIET, 'm2')
    expect(await archiveOf(juliet)).toEqual(['m1', 'm2'])
    await passes(scene, '2h', '1s')
    expect(await archiveOf(juliet)).toEqual(['m2'])
    expect(await archiveOf(romeo)).toEqual(['m1', 'm2'])
    await chooses(romeo, 'forever')
    expect((await begins(romeo)).now).toBe('forever')
  },
)

conversation(
  'DESIGN P6: until delivered, an account keeps what waits and nothing else, and the other side keeps its own',
  options,
  async (scene) => {
    const romeo = await scene.connect(`${ROMEO}/orchard`)
    const juliet = await scene.comesOnline(`${JULIET}/balcony`)
    await says(romeo, JULIET, 'm0')
    await chooses(juliet, 'until-delivered')
    await says(romeo, JULIET, 'm1')
    await says(juliet, romeo.jid, 'm2')
    await juliet.leaves()
    await says(romeo, JULIET, 'm3')
    const phone = await scene.comesOnline(`${JULIET}/phone`, '')
    await phone.sends('<presence/>')
    expect((await phone.collects()).filter(({ name }) => name === 'message').map(({ attrs }) => attrs.id)).toEqual(['m3'])
    await passes(scene, '1h', '1s')
    expect(await archiveOf(phone)).toEqual([])
    expect(await archiveOf(romeo)).toEqual(['m0', 'm1', 'm2', 'm3'])
  },
)

conversation(
  'DESIGN P6: where the server keeps nothing, there is nothing to choose',
  { ...options, config: { ledger: { retention: 'until-delivered' } } },
  async (scene) => {
    const juliet = await scene.connect(`${JULIET}/balcony`)
    expect((await begins(juliet)).offered).toEqual(['default', 'until-delivered'])
  },
)

test('DESIGN P6: what an account wants is capped by what the server does, also when that was changed later', () => {
  expect(capped('forever', 5)).toBe(5)
  expect(capped('forever', Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY)
  expect(capped(3, 5)).toBe(3)
  expect(capped(7, 5)).toBe(5)
  expect(capped(7, 'until-delivered')).toBe('until-delivered')
  expect(capped('until-delivered', 5)).toBe('until-delivered')
})
