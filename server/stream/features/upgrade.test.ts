import { pbkdf2Sync } from 'node:crypto'
import { expect } from 'vitest'
import { type Actor, conversation, type Scene } from '#server/testing/conversation.ts'
import {
  accountOf,
  authenticate,
  byPassword,
  byToken,
  logsInQuickly,
  NS_SASL2,
  PHONE,
  tokenIn,
  wantsBinding,
  wantsToken,
} from '#server/testing/quick-client.ts'
import { ScramClient } from '#server/testing/scram-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'
import type { Element } from '#stanzas/element.ts'
import type { ScramHash } from '#storage/shapes.ts'

const JULIET = 'juliet@verona.example'
const NS_UPGRADE = 'urn:xmpp:sasl:upgrade:0'
const NS_SCRAM_UPGRADE = 'urn:xmpp:scram-upgrade:0'
const memory = { carriers: ['memory'] } as const
const LENGTHS = { 'SHA-256': 32, 'SHA-512': 64 } as const

const upgrade = (...hashes: readonly string[]): string =>
  hashes.map((hash) => `<upgrade xmlns='${NS_UPGRADE}'>UPGR-SCRAM-${hash}</upgrade>`).join('')
const next = (hash: string): string => `<next xmlns='${NS_SASL2}' task='UPGR-SCRAM-${hash}'/>`
const taskData = (data: string): string =>
  `<task-data xmlns='${NS_SASL2}'><hash xmlns='${NS_SCRAM_UPGRADE}'>${data}</hash></task-data>`
const failure = (condition: string): string =>
  `<failure xmlns='${NS_SASL2}'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>`
const success = `<success xmlns='${NS_SASL2}'><authorization-identifier>${JULIET}</authorization-identifier></success>`

/** Juliet, who came from a server that kept SHA-1 alone. */
const comesFromElsewhere = async ({ createAccount, driver, server }: Scene): Promise<void> => {
  await createAccount(JULIET)
  const juliet = accountOf(JULIET)
  const keys = (await driver.accounts.get(juliet))?.credentials.scram['SHA-1']
  if (keys === undefined) throw new Error('no keys')
  await driver.accounts.update(juliet, { credentials: { scram: { 'SHA-1': keys } } })
  server.accounts.forget(juliet)
}

/** Opens a stream and proves the password by SCRAM; gives what the server says then. */
const proves = async (actor: Actor, mechanism: string, inside: string): Promise<Element> => {
  await actor.opensStream(undefined, JULIET)
  const scram = new ScramClient({ mechanism, username: 'juliet', password: 'secret' })
  await actor.sends(authenticate(mechanism, scram.first(), inside, PHONE))
  const answer = await scram.answer(Buffer.from((await actor.next()).text(), 'base64'))
  await actor.sends(`<response xmlns='${NS_SASL2}'>${answer.toString('base64')}</response>`)
  return actor.next()
}

/** Does the task for this hash. */
const upgrades = async (actor: Actor, hash: keyof typeof LENGTHS): Promise<void> => {
  await actor.sends(next(hash))
  const salt = (await actor.next()).getChild('salt', NS_SCRAM_UPGRADE)
  const iterations = Number(salt?.attrs.iterations)
  expect(iterations).toBeGreaterThanOrEqual(4096)
  const name = hash.replace('-', '')
  const hashed = pbkdf2Sync('secret', Buffer.from(salt?.text() ?? '', 'base64'), iterations, LENGTHS[hash], name)
  await actor.sends(taskData(hashed.toString('base64')))
}

const taskIn = (element: Element): string | undefined => element.getChild('tasks')?.getChildText('task')
const hashesOf = async ({ driver }: Scene): Promise<readonly string[]> =>
  Object.keys((await driver.accounts.get(accountOf(JULIET)))?.credentials.scram ?? {}).toSorted()

conversation(
  'XEP-0480 §2.1: the upgrades that are offered are those to mechanisms on offer, for everybody',
  memory,
  async ({ visit }) => {
    const features = await (await visit()).opensStream()
    const offers = features.getChild('authentication', NS_SASL2)?.getChildren('upgrade', NS_UPGRADE)
    expect(offers?.map((offer) => offer.text())).toEqual(['UPGR-SCRAM-SHA-512', 'UPGR-SCRAM-SHA-256', 'UPGR-SCRAM-SHA-1'])
  },
)

conversation('XEP-0480 §3: the keys that an account lacks come from its client, and are good from then on', {}, async (scene) => {
  await comesFromElsewhere(scene)
  const actor = await scene.visit()
  const first = await proves(actor, 'SCRAM-SHA-1', upgrade('SHA-256', 'SHA-512', 'SHA-256') + wantsBinding())
  expect([first.name, taskIn(first), first.getChild('additional-data') !== undefined]).toEqual([
    'continue',
    'UPGR-SCRAM-SHA-512',
    true,
  ])
  await upgrades(actor, 'SHA-512')
  await actor.receives(`<continue xmlns='${NS_SASL2}'><tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>`)
  // Nothing inline is done before the end.
  expect(scene.server.sessions.count).toBe(0)
  await upgrades(actor, 'SHA-256')
  expect((await actor.next()).getChild('bound', 'urn:xmpp:bind:0')).toBeDefined()
  expect(await hashesOf(scene)).toEqual(['SHA-1', 'SHA-256', 'SHA-512'])
  for (const hash of ['SHA-1', 'SHA-256', 'SHA-512'] satisfies ScramHash[])
    expect((await proves(await scene.visit(), `SCRAM-${hash}`, '')).name).toBe('success')
})

conversation('XEP-0480 §2.2: an account that has the keys is not asked for them', memory, async ({ visit, createAccount }) => {
  await createAccount(JULIET)
  expect((await proves(await visit(), 'SCRAM-SHA-1', upgrade('SHA-256', 'SHA-512', 'BLOOP'))).name).toBe('success')
})

conversation('a login by PLAIN brings all keys by itself', memory, async (scene) => {
  await comesFromElsewhere(scene)
  const actor = await scene.visit()
  await actor.opensStream()
  await actor.sends(byPassword('juliet', upgrade('SHA-512')))
  await actor.receives(success)
  expect(await hashesOf(scene)).toEqual(['SHA-1', 'SHA-256', 'SHA-512'])
})

conversation('who came by a token brings no keys, which would outlive it', memory, async (scene) => {
  await comesFromElsewhere(scene)
  const first = await scene.visit()
  const token = tokenIn(await proves(first, 'SCRAM-SHA-1', wantsToken()))
  await logsInQuickly(await scene.visit(), byToken('juliet', token, upgrade('SHA-512')))
  expect(await hashesOf(scene)).toEqual(['SHA-1'])
})

for (const [what, said] of [
  ['another task', [next('SHA-512')]],
  ['data before the salt', [taskData('AAAA')]],
  ['a hash of another length', [next('SHA-256'), taskData('AAAA')]],
  ['no base64', [next('SHA-256'), taskData('?'.repeat(44))]],
  ['no hash', [next('SHA-256'), `<task-data xmlns='${NS_SASL2}'/>`]],
  ['the salt asked for twice', [next('SHA-256'), next('SHA-256')]],
] as const)
  conversation(`XEP-0388 §2.6.3: ${what} fails the login, and changes nothing`, memory, async (scene) => {
    await comesFromElsewhere(scene)
    const actor = await scene.visit()
    expect((await proves(actor, 'SCRAM-SHA-1', upgrade('SHA-256') + wantsBinding())).name).toBe('continue')
    for (const [index, text] of said.entries()) {
      await actor.sends(text)
      if (index < said.length - 1) expect((await actor.next()).name).toBe('task-data')
    }
    await actor.receives(failure('malformed-request'))
    await actor.receivesNothing()
    expect(await hashesOf(scene)).toEqual(['SHA-1'])
    expect(scene.server.sessions.count).toBe(0)
    // Whoever begins anew may.
    await actor.sends(byPassword('juliet'))
    await actor.receives(success)
  })

conversation('XEP-0388 §4.5: a task may be given up', memory, async (scene) => {
  await comesFromElsewhere(scene)
  const actor = await scene.visit()
  await proves(actor, 'SCRAM-SHA-1', upgrade('SHA-256'))
  await actor.sends(`<abort xmlns='${NS_SASL2}'/>`)
  await actor.receives(failure('aborted'))
})

conversation('a password that changes during a task ends the login', memory, async (scene) => {
  await comesFromElsewhere(scene)
  const actor = await scene.visit()
  await proves(actor, 'SCRAM-SHA-1', upgrade('SHA-256'))
  await scene.server.accounts.setPassword(accountOf(JULIET), 'other')
  await failsWith(actor, 'reset')
})
