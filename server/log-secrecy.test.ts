import { expect } from 'vitest'
import { StorageError } from '#storage/storage-error.ts'
import { createLog, type Logger } from './base/log.ts'
import { observe } from './core/hooks.ts'
import { defineModule, onSet } from './core/module.ts'
import { modules as all } from './modules/index.ts'
import { conversation, type Scene, xml } from './testing/conversation.ts'

const BODY = 'thrice-wrapped-midnight-plan'
const PASSWORD = 'capulet-orchard-wall-9'
const romeo = 'romeo@verona.example'
const SECRETS = [BODY, PASSWORD, ...[PASSWORD, `\0romeo\0${PASSWORD}`].map((each) => Buffer.from(each).toString('base64'))]

/** A log of the lowest level, as text: what a file would hold, stacks and causes included. */
const recorded = (): { readonly log: Logger; readonly lines: string[] } => {
  const lines: string[] = []
  return { log: createLog({ level: 'debug', format: 'json', to: { write: (line) => lines.push(line) } }), lines }
}

const eventsOf = (lines: readonly string[]): ReadonlySet<string> =>
  new Set(lines.map((line) => String((JSON.parse(line) as { event?: unknown }).event)))

/** A module with a mistake in every place, each of which sees a stanza. */
const clumsy = defineModule({
  name: 'clumsy',
  summary: 'Fails.',
  start: () => ({
    iq: [
      onSet('urn:example:clumsy', 'fail', 'server', ({ payload }) => {
        throw new TypeError(`a handler failed on ${payload.name}`)
      }),
    ],
    hooks: [
      observe('sent', () => {
        throw new RangeError('an observer failed')
      }),
    ],
  }),
})

const message = (to: string, id: string) => xml`<message type="chat" to="${to}" id="${id}"><body>${BODY}</body></message>`

/** Gives the token by which a session could be resumed. */
const chat = async ({ comesOnline, createAccount, driver, clock }: Scene): Promise<string> => {
  await createAccount(romeo)
  const juliet = await comesOnline('juliet@verona.example/balcony')
  await juliet.sends(message(romeo, 'offline'))
  const phone = await comesOnline(`${romeo}/phone`)
  await juliet.sends(message(romeo, 'live'))
  await juliet.sends(message('nobody@verona.example', 'nobody'))
  await juliet.sends(message('a@b@c', 'malformed'))
  await juliet.sends(message('far@away.example', 'far'))
  driver.failNext(new StorageError('the disk is full', { isTransient: true }))
  await juliet.sends(message(romeo, 'lost'))
  await juliet.sends(xml`<iq type="set" id="c1" to="verona.example"><fail xmlns="urn:example:clumsy">${BODY}</fail></iq>`)
  await juliet.sends(xml`<iq type="set" id="c2"><vCard xmlns="vcard-temp"><NOTE>${BODY}</NOTE></vCard></iq>`)
  await juliet.sends(
    xml`<iq type="set" id="c3"><query xmlns="jabber:iq:private"><a xmlns="urn:example:a">${BODY}</a></query></iq>`,
  )
  await phone.ignores()
  await phone.sends(xml`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
  const token = (await phone.next()).attrs.id ?? ''
  await phone.vanishes()
  clock.advance('1h')
  await juliet.sends(xml`<message><body>${BODY}</message>`)
  return token
}

const logins = async ({ visit }: Scene): Promise<void> => {
  const auth = (mechanism: string, text: string) =>
    xml`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="${mechanism}">${text}</auth>`
  const plain = (text: string) => auth('PLAIN', Buffer.from(text).toString('base64'))
  const tybalt = await visit()
  await tybalt.opensStream()
  await tybalt.sends(plain(`\0romeo\0${PASSWORD}`))
  await tybalt.next()
  await tybalt.sends(plain(PASSWORD))
  await tybalt.sends(auth(PASSWORD, PASSWORD))
  await tybalt.sends(auth('SCRAM-SHA-1', Buffer.from(`n,,n=romeo,r=${PASSWORD}`).toString('base64')))
  await tybalt.sends(auth('PLAIN', `${PASSWORD}!`))
  const other = await visit()
  await other.opensStream()
  await other.sends(xml`<${PASSWORD}><${BODY}/></${PASSWORD}>`)
}

const registrations = async ({ visit, connect }: Scene): Promise<void> => {
  const register = (username: string) =>
    xml`<iq type="set" id="r1"><query xmlns="jabber:iq:register"><username>${username}</username><password>${PASSWORD}</password></query></iq>`
  const paris = await visit()
  await paris.opensStream()
  await paris.sends(register('paris'))
  await paris.sends(register('paris'))
  const rosaline = await connect('rosaline@verona.example/home')
  await rosaline.sends(register('rosaline'))
  await rosaline.ignores()
}

const { log, lines } = recorded()
conversation(
  'no line of the log holds what was said, nor a password, whatever fails',
  {
    modules: [...all, clumsy],
    log,
    isDev: true,
    carriers: ['memory'],
    config: { login: { allowPlainWithoutTls: true, scramIterations: 4096 } },
  },
  async (scene) => {
    await logins(scene)
    await registrations(scene)
    const token = await chat(scene)
    expect(token).not.toBe('')
    const events = eventsOf(lines)
    for (const event of [
      'login-failed',
      'stream-refused',
      'session-ended',
      'storage-failed',
      'stanza-failed',
      'hook-failed',
      'account-registered',
    ])
      expect(events).toContain(event)
    for (const line of lines) for (const secret of [...SECRETS, token]) expect(line).not.toContain(secret)
  },
)

const failures = recorded()
conversation(
  'a failed login says in the log from where, for whom and how',
  { modules: [], log: failures.log, carriers: ['memory'] },
  async ({ visit, createAccount }) => {
    await createAccount(romeo)
    const tybalt = await visit('192.0.2.7')
    await tybalt.opensStream()
    const wrong = Buffer.from(`\0romeo\0${PASSWORD}`).toString('base64')
    await tybalt.sends(xml`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">${wrong}</auth>`)
    await tybalt.next()
    const line = failures.lines.find((each) => each.includes('login-failed')) ?? '{}'
    expect(JSON.parse(line)).toMatchObject({
      level: 'info',
      address: '192.0.2.7',
      account: romeo,
      mechanism: 'PLAIN',
      condition: 'not-authorized',
    })
  },
)
