import { createHmac } from 'node:crypto'
import { forEachIndex, PASSWORD, usernameOf } from '../client/accounts.ts'
import { connect } from '../client/connection.ts'
import { attributeOf } from '../client/login.ts'
import { loginRounds } from './login-rounds.ts'
import type { LoadOptions } from './options.ts'

const MECHANISM = 'HT-SHA-256-NONE'

/** Every account has been here before: its client connects, says all it has to say in one write, is online with the first answer, and leaves; fifty at a time. */
export async function returning(options: LoadOptions): Promise<Record<string, number>> {
  const tokens: string[] = []
  await forEachIndex(options.accounts, 50, async (index) => {
    const password = Buffer.from(`\0${usernameOf(index)}\0${PASSWORD}`)
    const wants = `<request-token xmlns='urn:xmpp:fast:0' mechanism='${MECHANISM}'/>`
    const { success } = await quickLogin(options, index, 'PLAIN', password, wants)
    tokens[index] = attributeOf(success.slice(success.indexOf('<token')), 'token') ?? ''
  })
  return loginRounds(options, async (index) => {
    const hash = createHmac('sha256', tokens[index] ?? '')
      .update('Initiator')
      .digest()
    const proof = Buffer.concat([Buffer.from(`${usernameOf(index)}\0`), hash])
    const { ms } = await quickLogin(options, index, MECHANISM, proof, `<fast xmlns='urn:xmpp:fast:0'/>`)
    return ms
  })
}

/** Logs in by XEP-0388 and binds by XEP-0386; the time is that from having a connection to having a session. */
async function quickLogin(
  { target }: LoadOptions,
  index: number,
  mechanism: string,
  initial: Buffer,
  inside: string,
): Promise<{ readonly success: string; readonly ms: number }> {
  const connection = await connect(target)
  const beganMs = performance.now()
  const success = new Promise<string>((resolve, reject) => {
    connection.onClose = () => reject(new Error('the server closed the connection during login'))
    connection.onStanza = (xml) => {
      if (xml.startsWith('<success')) resolve(xml)
      else if (!/^<(stream:)?features/.test(xml)) reject(new Error(`expected <success>, got ${xml}`))
    }
  })
  connection.openStream()
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
