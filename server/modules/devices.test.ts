import { expect } from 'vitest'
import { any, conversation, refusal, type Scene, xml } from '#server/testing/conversation.ts'
import {
  accountOf,
  byPassword,
  byToken,
  LAPTOP,
  logsInQuickly,
  NS_SASL2,
  PHONE,
  tokenIn,
  wantsBinding,
  wantsToken,
} from '#server/testing/quick-client.ts'
import { failsWith } from '#server/testing/stream-end.ts'
import { devices } from './devices.ts'

const modules = [devices]
const NS_CAM = 'urn:xmpp:cam:0'
const JULIET = 'juliet@verona.example'
const memory = { carriers: ['memory'] } as const

const list = `<iq type='get' id='l'><list xmlns='${NS_CAM}'/></iq>`
const revoke = (id: string): string => `<iq type='set' id='r'><revoke xmlns='${NS_CAM}' id='${id}'/></iq>`

/** Juliet's laptop, which looks on, and her phone, which was given a token. */
const setUp = async ({ visit, createAccount, clock, settle }: Scene) => {
  await createAccount(JULIET)
  const phone = await visit()
  const token = tokenIn(await logsInQuickly(phone, byPassword('juliet', wantsBinding() + wantsToken(), PHONE)))
  clock.advance('10m')
  const laptop = await visit()
  await logsInQuickly(laptop, byPassword('juliet', wantsBinding(), LAPTOP))
  await settle()
  for (const actor of [phone, laptop]) await actor.ignores()
  return { phone, laptop, token }
}

const idOf = async ({ server }: Scene): Promise<string> =>
  (await server.devices.list(accountOf(JULIET))).find(({ next, current }) => (next ?? current) !== undefined)?.id ?? ''

conversation('XEP-0494 §3.1: the clients that have access, whether they are there or not', { modules }, async (scene) => {
  const { phone, laptop } = await setUp(scene)
  await phone.leaves()
  const old = await scene.connect(`${JULIET}/old`)
  await laptop.sends(list)
  const now = new Date(scene.clock.nowMs()).toISOString()
  const before = new Date(scene.clock.nowMs() - 600_000).toISOString()
  const agent = '<user-agent><software>Balcony</software><device>Phone</device></user-agent>'
  const client = (connected: boolean, seen: string, auth: string, who = ''): string =>
    `<client id='${any}' connected='${connected}' type='session'><first-seen>${seen}</first-seen><last-seen>${seen}</last-seen><auth>${auth}</auth><permission status='unrestricted'/>${who}</client>`
  const [answer] = await laptop.collects()
  const clients = answer?.getChild('clients', NS_CAM)?.getChildren('client') ?? []
  await old.leaves()
  expect(clients.map(({ attrs }) => attrs.connected).toSorted()).toEqual(['false', 'true', 'true'])
  for (const each of clients) expect(each.attrs.id).toMatch(/^[\w-]{16}$/)

  await laptop.sends(list)
  const [first, second] = (await scene.server.devices.list(accountOf(JULIET))).map(({ next }) => next !== undefined)
  expect([first, second].toSorted()).toEqual([false, true])
  const inOrder = [client(false, before, '<password/><fast/>', agent), client(true, now, '<password/>', agent)]
  await laptop.receives(
    xml`<iq type='result' id='l' from='${JULIET}' to='${laptop.jid}'><clients xmlns='${NS_CAM}'>${(first ? inOrder : inOrder.toReversed()).join('')}</clients></iq>`,
  )
})

conversation(
  'XEP-0494 §3.2: a client that is revoked is put out and its token ends; since it knows the password, that must change',
  { modules },
  async (scene) => {
    const { phone, laptop, token } = await setUp(scene)
    await laptop.sends(revoke(await idOf(scene)))
    await laptop.receives(
      xml`<iq type='error' id='r' from='${JULIET}' to='${laptop.jid}'><error type='cancel' code='503'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
        <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>it is logged out, and knows the password</text><password-reset-required xmlns='${NS_CAM}'/></error></iq>`,
    )
    await failsWith(phone, 'not-authorized')
    const back = await scene.visit()
    await back.opensStream()
    await back.sends(byToken('juliet', token))
    await back.receives(`<failure xmlns='${NS_SASL2}'><credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>`)
  },
)

conversation('XEP-0494 §3.2: one that does not know the password is out for good', { ...memory, modules }, async (scene) => {
  const { laptop } = await setUp(scene)
  const id = await idOf(scene)
  const key = `${JULIET}/${id}`
  const store = scene.driver.expiring<object>('server/devices')
  // As one that was given access in another way.
  await store.put(key, { ...(await store.get(key)), knowsPassword: false }, scene.clock.nowMs() + 86_400_000)
  scene.clock.advance('11m')
  await laptop.sends(revoke(id))
  await laptop.receives(`<iq type='result' id='r' from='${JULIET}' to='${laptop.jid}'/>`)
})

conversation('XEP-0494 §3.2: a client that does not say which it is has the password', { ...memory, modules }, async (scene) => {
  const { laptop } = await setUp(scene)
  const old = await scene.connect(`${JULIET}/old`)
  await laptop.sends(list)
  const [answer] = await laptop.collects()
  const clients = answer?.getChild('clients', NS_CAM)?.getChildren('client')
  const nameless = clients?.find((client) => client.getChild('user-agent') === undefined)
  await laptop.sends(revoke(nameless?.attrs.id ?? ''))
  const [refused] = await laptop.collects()
  expect(refused?.getChild('error')?.getChild('password-reset-required', NS_CAM)).toBeDefined()
  await old.receivesNothing()
})

conversation('XEP-0494 §3.2: nobody, and nobody in particular', { ...memory, modules }, async (scene) => {
  const { laptop } = await setUp(scene)
  await laptop.sends(revoke('gone'))
  await laptop.receives(refusal('item-not-found', { id: 'r', from: JULIET, to: laptop.jid }))
  await laptop.sends(`<iq type='set' id='r'><revoke xmlns='${NS_CAM}'/></iq>`)
  await laptop.receives(refusal('bad-request', { id: 'r', from: JULIET, to: laptop.jid }))
})

conversation('XEP-0494 §5: the clients of another account are nobody’s business', { ...memory, modules }, async (scene) => {
  await setUp(scene)
  const romeo = await scene.connect('romeo@verona.example/orchard')
  const id = await idOf(scene)
  await romeo.sends(`<iq type='get' id='l' to='${JULIET}'><list xmlns='${NS_CAM}'/></iq>`)
  await romeo.receives(refusal('forbidden', { id: 'l', from: JULIET, to: romeo.jid }))
  await romeo.sends(`<iq type='set' id='r' to='${JULIET}'><revoke xmlns='${NS_CAM}' id='${id}'/></iq>`)
  await romeo.receives(refusal('forbidden', { id: 'r', from: JULIET, to: romeo.jid }))
  await romeo.sends(revoke(id))
  await romeo.receives(refusal('item-not-found', { id: 'r', from: 'romeo@verona.example', to: romeo.jid }))
})
