import { type Config, listenAddresses } from '#server/base/config.ts'
import { OperationError, type Operations } from '#server/base/operations.ts'
import { describeInvite } from './invite.ts'
import type { RunningServer } from './server-seam.ts'

/** The name under which the person at the terminal can call the command. */
const commandName = (): string => (process.env.npm_lifecycle_event === undefined ? 'waxwing' : 'npx waxwing')

/** What the person who started a server wants to know: where to connect, how to get an account, where things are. */
export const welcome = async (
  config: Config,
  { ports, caFile, operations }: RunningServer,
  isFirstRun: boolean,
): Promise<readonly string[]> => {
  const command = commandName()
  const here =
    config.listen.address.length === 0 && config.domain === 'localhost' ? 'this machine only' : listenAddresses(config).join(', ')
  const { accounts } = await operations.status()
  const lines = [
    '',
    `Waxwing serves ${config.domain} (${here}).`,
    '',
    '  Connect',
    ...(ports.c2s === undefined ? [] : [`    ${config.domain}:${ports.c2s}  STARTTLS`]),
    ...(ports.tls === undefined ? [] : [`    ${config.domain}:${ports.tls}  TLS`]),
    ...(ports.http === undefined ? [] : [`    ws://${bracketed(config.listen.httpAddress)}:${ports.http}/xmpp-websocket`]),
    ...(ports.https === undefined ? [] : [`    wss://${config.domain}:${ports.https}/xmpp-websocket`]),
    ...(ports.admin === undefined ? [] : [`    http://127.0.0.1:${ports.admin}/metrics, /healthz, /readyz`]),
    '',
    '  Make an account',
    `    ${command} account add romeo@${config.domain}`,
    `    ${command} invite   (a link that lets someone make one)`,
  ]
  if (accounts === 0) {
    const [link, ...rest] = await firstInvitation(operations)
    if (link !== undefined) lines.push('', '  Your first invitation', `    ${link}`, ...rest.map((line) => `    ${line}`))
  }
  lines.push('', '  On disk', `    ${config.data}${isFirstRun ? '   (new)' : ''}`)
  if (caFile !== undefined) lines.push(`    ${caFile}   (clients must trust this: the certificate is self-made)`)
  lines.push('', `Something wrong? ${command} doctor. Stop with Ctrl-C.`, '')
  return lines
}

// A server whose modules make no invitations still starts.
const firstInvitation = async (operations: Operations): Promise<readonly string[]> => {
  try {
    return describeInvite(await operations.createInvite({ kind: 'account' }))
  } catch (error) {
    if (error instanceof OperationError) return []
    throw error
  }
}

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)
