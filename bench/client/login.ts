import { type Connection, connect, type Target } from './connection.ts'
import { scram } from './scram.ts'

export type Mechanism = 'PLAIN' | 'SCRAM-SHA-1' | 'SCRAM-SHA-256'

export type Credentials = { readonly username: string; readonly password: string; readonly mechanism: Mechanism }

/** A stream that is authenticated but not yet bound: it may resume an old session or bind a new one. */
export type LoggedIn = {
  readonly connection: Connection
  readonly next: () => Promise<string>
  /** Gives all further stanzas, and those nobody has asked for yet, to a handler. */
  readonly handOver: (onStanza: (xml: string) => void) => void
}

const SASL = `xmlns='urn:ietf:params:xml:ns:xmpp-sasl'`
const CLIENT = `xmlns='jabber:client'`
const SM = `xmlns='urn:xmpp:sm:3'`

/** Connects, secures the stream if it is to be, and authenticates; the signal drops the connection. */
export async function logIn(
  target: Target,
  { username, password, mechanism }: Credentials,
  signal?: AbortSignal,
): Promise<LoggedIn> {
  const { connection, next, handOver } = await openTo(target, signal)
  if (mechanism === 'PLAIN') {
    const response = Buffer.from(`\0${username}\0${password}`).toString('base64')
    connection.send(`<auth ${SASL} mechanism='PLAIN'>${response}</auth>`)
    expectTag(await next(), 'success')
  } else {
    const exchange = scram(mechanism === 'SCRAM-SHA-1' ? 'sha1' : 'sha256', username, password)
    connection.send(`<auth ${SASL} mechanism='${mechanism}'>${exchange.first}</auth>`)
    const proof = await exchange.final(textOf(expectTag(await next(), 'challenge')))
    connection.send(`<response ${SASL}>${proof}</response>`)
    if (!exchange.verifies(textOf(expectTag(await next(), 'success')))) throw new Error('the server does not know the password')
  }
  connection.openStream()
  expectTag(await next(), 'features')
  return { connection, next, handOver }
}

/** Makes an account in band (XEP-0077); one that exists already is as good. */
export async function register(target: Target, { username, password }: Credentials): Promise<void> {
  const { connection, next } = await openTo(target)
  connection.send(
    `<iq ${CLIENT} type='set' id='reg' to='${target.domain}'><query xmlns='jabber:iq:register'>` +
      `<username>${username}</username><password>${password}</password></query></iq>`,
  )
  const reply = await next()
  connection.close()
  connection.destroy()
  if (attributeOf(reply, 'type') !== 'result' && !reply.includes('<conflict')) throw new Error(`registration refused: ${reply}`)
}

export type SessionOptions = {
  readonly resource: string
  readonly streamManagement?: boolean
  readonly carbons?: boolean
  readonly presence?: boolean
}

/** Binds a resource and turns on what the row wants; answers with the id to resume by, if the server gives one. */
export async function bind(
  { connection, next }: Pick<LoggedIn, 'connection' | 'next'>,
  options: SessionOptions,
): Promise<{ readonly resumeId?: string }> {
  const reply = (id: string) => nextWhere(next, (xml) => attributeOf(xml, 'id') === id)
  connection.send(
    `<iq ${CLIENT} type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${options.resource}</resource></bind></iq>`,
  )
  const bound = await reply('bind')
  if (attributeOf(bound, 'type') !== 'result') throw new Error(`bind refused: ${bound}`)
  let resumeId: string | undefined
  if (options.streamManagement) {
    connection.send(`<enable ${SM} resume='true'/>`)
    const enabled = expectTag(await nextWhere(next, (xml) => /^<(enabled|failed)\b/.test(xml)), 'enabled')
    if (/\bresume=['"](true|1)/.test(enabled)) resumeId = attributeOf(enabled, 'id')
  }
  if (options.carbons) {
    connection.send(`<iq ${CLIENT} type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>`)
    await reply('carbons')
  }
  if (options.presence) connection.send(`<presence ${CLIENT}/>`)
  return resumeId === undefined ? {} : { resumeId }
}

/** Takes an old session up again (XEP-0198 §5); answers with what the server says it has handled, if it knows. */
export async function resume(
  { connection, next }: LoggedIn,
  resumeId: string,
  handled: number,
): Promise<{ readonly resumed: boolean; readonly handled: number | undefined }> {
  connection.send(`<resume ${SM} previd='${resumeId}' h='${handled}'/>`)
  const answer = await nextWhere(next, (xml) => /^<(resumed|failed)\b/.test(xml))
  const h = attributeOf(answer, 'h')
  return { resumed: answer.startsWith('<resumed'), handled: h === undefined ? undefined : Number(h) }
}

/** The value of an attribute of a stanza's own tag. */
export function attributeOf(xml: string, name: string): string | undefined {
  const tag = xml.slice(0, xml.indexOf('>') + 1)
  return new RegExp(`\\s${name}=(?:"([^"]*)"|'([^']*)')`)
    .exec(tag)
    ?.slice(1)
    .find((value) => value !== undefined)
}

async function openTo(target: Target, signal?: AbortSignal): Promise<LoggedIn> {
  const connection = await connect(target, signal)
  const inbox: string[] = []
  const waiting: { resolve: (xml: string) => void; reject: (error: Error) => void }[] = []
  let closed = false
  connection.onStanza = (xml) => {
    const first = waiting.shift()
    if (first === undefined) inbox.push(xml)
    else first.resolve(xml)
  }
  connection.onClose = () => {
    closed = true
    for (const { reject } of waiting.splice(0)) reject(new Error('the server closed the connection during login'))
  }
  const next = () =>
    new Promise<string>((resolve, reject) => {
      const first = inbox.shift()
      if (first !== undefined) resolve(first)
      else if (closed) reject(new Error('the server closed the connection during login'))
      else waiting.push({ resolve, reject })
    })
  connection.openStream()
  expectTag(await next(), 'features')
  if (target.kind === 'starttls') {
    connection.send(`<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
    expectTag(await next(), 'proceed')
    await connection.upgrade()
    connection.openStream()
    expectTag(await next(), 'features')
  }
  const handOver = (onStanza: (xml: string) => void) => {
    connection.onStanza = onStanza
    for (const xml of inbox.splice(0)) onStanza(xml)
  }
  return { connection, next, handOver }
}

// Presence and roster pushes may come in between.
async function nextWhere(next: () => Promise<string>, fits: (xml: string) => boolean): Promise<string> {
  for (;;) {
    const xml = await next()
    if (fits(xml)) return xml
  }
}

function expectTag(xml: string, name: string): string {
  if (!new RegExp(`^<(?:stream:)?${name}\\b`).test(xml)) throw new Error(`expected <${name}>, got ${xml.slice(0, 300)}`)
  return xml
}

function textOf(xml: string): string {
  return xml.slice(xml.indexOf('>') + 1, xml.lastIndexOf('<'))
}
