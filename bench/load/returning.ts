import { createHmac } from 'node:crypto'
import { forEachIndex, PASSWORD, usernameOf } from '../client/accounts.ts'
import { type Connection, connect, type Ticket } from '../client/connection.ts'
import { attributeOf } from '../client/login.ts'
import { loginRounds } from './login-rounds.ts'
import type { LoadOptions } from './options.ts'

/** What a client keeps from one login to the next. */
type Device = { readonly ticket: Ticket; token: string }

/** How a client shows who it is: what it says first, and what else it has to say about that. */
type Proof = { readonly mechanism: string; readonly initial: Buffer; readonly inside: string }

/** Every account has been here before: its client connects, says all it has to say in one write, is online with the first answer, and leaves. */
export async function returning(options: LoadOptions): Promise<Record<string, number>> {
  // Over TLS tokens are bound to the connection (XEP-0484 §3.1).
  const mechanism = options.target.kind === 'tls' ? 'HT-SHA-256-EXPR' : 'HT-SHA-256-NONE'
  const devices: Device[] = []
  await forEachIndex(options.accounts, 50, async (index) => {
    const device: Device = { ticket: {}, token: '' }
    devices[index] = device
    const { success } = await quickLogin(options, index, device.ticket, () => ({
      mechanism: 'PLAIN',
      initial: Buffer.from(`\0${usernameOf(index)}\0${PASSWORD}`),
      inside: `<request-token xmlns='urn:xmpp:fast:0' mechanism='${mechanism}'/>`,
    }))
    device.token = attributeOf(success.slice(success.indexOf('<token')), 'token') ?? ''
  })
  return loginRounds(options, async (index) => {
    const { ticket, token } = devices[index] ?? { ticket: {}, token: '' }
    const { ms } = await quickLogin(options, index, ticket, (connection) => {
      const hash = createHmac('sha256', token).update('Initiator').update(connection.binding()).digest()
      const initial = Buffer.concat([Buffer.from(`${usernameOf(index)}\0`), hash])
      return { mechanism, initial, inside: `<fast xmlns='urn:xmpp:fast:0'/>` }
    })
    return ms
  })
}

/** Logs in by XEP-0388 and binds by XEP-0386; the time is that from having a connection to having a session. */
async function quickLogin(
  { target }: LoadOptions,
  index: number,
  ticket: Ticket,
  prove: (connection: Connection) => Proof,
): Promise<{ readonly success: string; readonly ms: number }> {
  const connection = await connect(target, undefined, ticket)
  const beganMs = performance.now()
  const success = new Promise<string>((resolve, reject) => {
    connection.onClose = () => reject(new Error('the server closed the connection during login'))
    connection.onStanza = (xml) => {
      if (xml.startsWith('<success')) resolve(xml)
      else if (!/^<(stream:)?features/.test(xml)) reject(new Error(`expected <success>, got ${xml}`))
    }
  })
  connection.openStream()
  const { mechanism, initial, inside } = prove(connection)
  const clientId = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
  connection.send(
    `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='${mechanism}'><initial-response>${initial.toString('base64')}</initial-response>` +
      `<user-agent id='${clientId}'/>${inside}<bind xmlns='urn:xmpp:bind:0'><tag>load</tag></bind></authenticate>`,
  )
  const answer = await success
  const ms = performance.now() - beganMs
  connection.onClose = () => undefined
  connection.close()
  return { success: answer, ms }
}
