import type { AccountSummary, DeviceSummary, Operations } from '#server/base/operations.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, readConfiguration } from './configuration.ts'
import { withOperations } from './operations.ts'
import type { ServerSeam } from './server-seam.ts'
import { askPassword, CommandError, readSecret, type Terminal } from './terminal.ts'

/** How `account add` and `account password` get the secret. */
export interface SecretOptions extends ConfigurationOptions {
  readonly passwordStdin?: boolean
  readonly bcryptHashStdin?: boolean
}

const BCRYPT_HASH = /^\$2[abxy]\$\d{2}\$[./A-Za-z0-9]{53}$/

const operate = <T>(server: ServerSeam, options: ConfigurationOptions, use: (operations: Operations) => Promise<T>): Promise<T> =>
  withOperations(server, readConfiguration(configurationFile(options), server.modules, dataOverride(options)), use)

/** Adds an account, with a password or with the bcrypt hash it had elsewhere. */
export const addAccount = async (terminal: Terminal, server: ServerSeam, jid: string, options: SecretOptions): Promise<void> => {
  if (options.bcryptHashStdin === true) {
    if (options.passwordStdin === true) throw new CommandError('Choose one of --password-stdin and --bcrypt-hash-stdin.')
    const hash = await readSecret(terminal)
    if (!BCRYPT_HASH.test(hash)) throw new CommandError('Standard input is not a bcrypt hash such as $2b$12$….')
    await operate(server, options, (operations) => operations.importAccount(jid, hash))
  } else {
    const password = options.passwordStdin === true ? await readSecret(terminal) : await askPassword(terminal, jid)
    await operate(server, options, (operations) => operations.addAccount(jid, password))
  }
  terminal.out(`Added ${jid}.`)
}

/** Deletes an account and everything it keeps. */
export const deleteAccount = async (
  terminal: Terminal,
  server: ServerSeam,
  jid: string,
  options: ConfigurationOptions,
): Promise<void> => {
  await operate(server, options, (operations) => operations.deleteAccount(jid))
  terminal.out(`Deleted ${jid} and everything it kept.`)
}

/** Gives an account a new password. */
export const changePassword = async (
  terminal: Terminal,
  server: ServerSeam,
  jid: string,
  options: SecretOptions,
): Promise<void> => {
  const password = options.passwordStdin === true ? await readSecret(terminal) : await askPassword(terminal, jid)
  await operate(server, options, (operations) => operations.setPassword(jid, password))
  terminal.out(`Changed the password of ${jid}.`)
}

/** Disables an account or enables it again. */
export const setDisabled = async (
  terminal: Terminal,
  server: ServerSeam,
  jid: string,
  isDisabled: boolean,
  options: ConfigurationOptions,
): Promise<void> => {
  await operate(server, options, (operations) => operations.setDisabled(jid, isDisabled))
  terminal.out(isDisabled ? `Disabled ${jid}: it keeps what it has but cannot log in.` : `Enabled ${jid}.`)
}

/** Lists all accounts. */
export const listAccounts = async (terminal: Terminal, server: ServerSeam, options: ConfigurationOptions): Promise<void> => {
  const accounts = await operate(server, options, (operations) => operations.listAccounts())
  if (accounts.length === 0) return terminal.err('There are no accounts yet.')
  const width = Math.max(...accounts.map(({ jid }) => jid.length))
  for (const account of accounts) terminal.out(line(account, width))
}

const line = ({ jid, createdAtMs, isDisabled }: AccountSummary, width: number): string =>
  `${jid.padEnd(width)}  since ${new Date(createdAtMs).toISOString().slice(0, 10)}${isDisabled ? '  disabled' : ''}`

/** Lists the clients that have access to an account. */
export const listDevices = async (
  terminal: Terminal,
  server: ServerSeam,
  jid: string,
  options: ConfigurationOptions,
): Promise<void> => {
  const devices = await operate(server, options, (operations) => operations.listDevices(jid))
  if (devices.length === 0) return terminal.err(`No client of ${jid} is known.`)
  const width = Math.max(...devices.map(({ id }) => id.length))
  for (const device of devices) terminal.out(deviceLine(device, width))
}

/** Ends what a client has open of an account, and its tokens. */
export const revokeDevice = async (
  terminal: Terminal,
  server: ServerSeam,
  jid: string,
  id: string,
  options: ConfigurationOptions,
): Promise<void> => {
  const { knowsPassword } = await operate(server, options, (operations) => operations.revokeDevice(jid, id))
  terminal.out(`Logged ${id} of ${jid} out and ended its tokens.`)
  if (knowsPassword) terminal.err('It knows the password; to keep it out, change that with waxwing account password.')
}

/** What clients call themselves must not command the terminal. */
const tamed = (name: string): string => name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')

const deviceLine = (
  { id, software, device, lastSeenMs, isConnected, knowsPassword, hasToken }: DeviceSummary,
  width: number,
): string =>
  [
    id.padEnd(width),
    isConnected ? 'online    ' : new Date(lastSeenMs).toISOString().slice(0, 10),
    [knowsPassword ? 'password' : '', hasToken ? 'token' : ''].filter((each) => each !== '').join('+') || 'nothing',
    [software, device]
      .filter((name) => name !== undefined)
      .map(tamed)
      .join(', '),
  ]
    .join('  ')
    .trimEnd()
