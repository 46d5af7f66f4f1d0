import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { OperationError } from '#server/base/operations.ts'
import { HomesError } from '#server/core/homes.ts'
import { StorageError } from '#storage/storage-error.ts'
import {
  addAccount,
  changePassword,
  deleteAccount,
  listAccounts,
  listDevices,
  revokeDevice,
  type SecretOptions,
  setDisabled,
} from './account.ts'
import { check } from './check.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, EXIT_USAGE, readConfiguration } from './configuration.ts'
import { doctor } from './doctor.ts'
import { type DrainOptions, drain } from './drain.ts'
import { type InviteOptions, invite } from './invite.ts'
import { type MigrateOptions, migrateStore } from './migrate.ts'
import { type Host, type ServeOptions, serve } from './serve.ts'
import type { ServerSeam } from './server-seam.ts'
import { CommandError, type Terminal } from './terminal.ts'

/** What the command line works with; tests put their own in its place. */
export interface Surroundings {
  readonly terminal: Terminal
  readonly host: Host
  readonly loadServer: () => Promise<ServerSeam>
}

/** Runs one command line, without the names of node and script, and reports what goes wrong in words. */
export const run = async (args: readonly string[], surroundings: Surroundings): Promise<void> => {
  const { terminal } = surroundings
  try {
    const root = program(surroundings)
    refuseUnknown(root, args[0])
    await root.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommandError) {
      terminal.err(error.message)
      terminal.exitWith(error.exitCode)
    } else if (error instanceof OperationError) {
      terminal.err(error.message)
      terminal.exitWith(1)
    } else if (isCommanderError(error)) terminal.exitWith(error.exitCode === 0 ? 0 : EXIT_USAGE)
    else {
      terminal.err(`waxwing failed: ${explain(error)}`)
      terminal.exitWith(1)
    }
  }
}

// The default command would take an unknown name for an argument of its own.
const refuseUnknown = (root: Command, name: string | undefined): void => {
  if (name === undefined || name.startsWith('-') || name === 'help' || root.commands.some((each) => each.name() === name)) return
  throw new CommandError(`There is no command ${name}. \`waxwing --help\` lists those there are.`, EXIT_USAGE)
}

const isCommanderError = (error: unknown): error is Error & { readonly exitCode: number } =>
  error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number'

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof StorageError || error instanceof HomesError) return error.message
  // What the system refuses, the operator can mend; anything else is a bug, and its stack is what we need.
  return 'syscall' in error ? `${error.message}. \`waxwing doctor\` may know why.` : (error.stack ?? error.message)
}

/** The version in package.json. */
export const version = (): string => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return /"version": "([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}

const EXAMPLES = `
Examples:
  waxwing                                   start a server with defaults, on this machine only
  waxwing serve --config /etc/waxwing.yaml  start a server for real
  waxwing account add juliet@example.org    add an account; asks for its password
  waxwing invite                            print a link that lets someone make an account
  waxwing doctor                            look for what keeps clients from connecting
  waxwing serve --dev --port 0              a throwaway server for tests

Without --config, waxwing.yaml is read where the command runs, if there is one. docs/config.md lists all keys.`

/** Two looks of a load balancer, and one that came too late. */
const GRACE_SECONDS = 5

const program = ({ terminal, host, loadServer }: Surroundings): Command => {
  const root = new Command('waxwing')
    .description('An XMPP server that keeps what it acknowledged.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help for a command')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text.trimEnd()), writeErr: (text) => terminal.err(text.trimEnd()) })
    .showHelpAfterError('`waxwing --help` lists the commands.')

  addServe(root, async (options) => serve(terminal, await loadServer(), options, host))
  addAccountCommands(root, terminal, loadServer)
  configured(root.command('invite').description('print an invitation, to a new account or to a contact'))
    .option('--account <name>', 'to an account of this name; without it, the guest chooses a name')
    .option('--contact <jid>', 'to become a contact of this account')
    .option('--expires <time>', 'how long it is good for, such as 2h or 7d')
    .action(async (options: InviteOptions) => invite(terminal, await loadServer(), options))
  configured(root.command('check').description('check the configuration and start nothing')).action(
    async (options: ConfigurationOptions) => check(terminal, await loadServer(), options),
  )
  configured(
    root.command('doctor').description('check DNS, certificate, ports, clock, storage and limits, and say what to do'),
  ).action(async (options: ConfigurationOptions) => doctor(terminal, await loadServer(), options))
  configured(
    root
      .command('drain')
      .description('let the clients of this node go on at the others, then stop it; needs several nodes or workers'),
  )
    .addOption(
      new Option('--grace <seconds>', 'how long it still lets clients in, until load balancers have seen that it is not ready')
        .argParser(wholeNumber)
        .default(GRACE_SECONDS),
    )
    .action(async (options: DrainOptions) => drain(terminal, await loadServer(), options))
  configured(root.command('migrate').description('copy the embedded store to MongoDB, while the server is stopped'))
    .requiredOption('--from <store>', 'embedded')
    .requiredOption('--to <store>', 'mongodb')
    .option('--url <url>', 'where MongoDB is; without it, store.url of the configuration')
    .action(async (options: MigrateOptions) => migrateStore(terminal, await loadServer(), options))
  configured(root.command('order').description('print the way of a stanza: all hooks in the order in which they run')).action(
    async (options: ConfigurationOptions) => {
      const server = await loadServer()
      terminal.out(
        await server.describeOrder(readConfiguration(configurationFile(options), server.modules, dataOverride(options))),
      )
    },
  )
  return root
}

const configured = (command: Command): Command =>
  command
    .option('-c, --config <file>', 'read this configuration instead of waxwing.yaml')
    .option('-d, --data <folder>', 'use this data folder instead of the configured one')

const addServe = (root: Command, action: (options: ServeOptions) => Promise<void>): void => {
  configured(root.command('serve', { isDefault: true }).description('start the server (the default command)'))
    .option(
      '--dev',
      'a throwaway server on the loopback: open registration, login without TLS, no rate limits; prints one line of JSON when it listens',
    )
    .addOption(new Option('--domain <domain>', 'with --dev: the domain to serve (default: localhost)'))
    .addOption(new Option('--port <number>', 'with --dev: the port for STARTTLS; 0 picks a free one').argParser(portNumber))
    .addOption(new Option('--tls-port <number>', 'with --dev: the port for direct TLS; 0 picks a free one').argParser(portNumber))
    .addOption(
      new Option('--http-port <number>', 'with --dev: the port for HTTP and WebSocket; 0 picks a free one').argParser(portNumber),
    )
    .addOption(new Option('--admin-password <password>', 'with --dev: make the account admin@DOMAIN with this password'))
    .addOption(
      new Option('--resume-timeout <seconds>', 'with --dev: how long a lost session may be resumed').argParser(wholeNumber),
    )
    .action(action)
}

const addAccountCommands = (root: Command, terminal: Terminal, loadServer: () => Promise<ServerSeam>): void => {
  const account = root.command('account').description('add, change and list accounts, whether the server runs or not')
  configured(
    account.command('add').description('add an account; asks for its password').argument('<jid>', 'such as juliet@example.org'),
  )
    .option('--password-stdin', 'read the password from standard input')
    .option('--bcrypt-hash-stdin', 'read a bcrypt hash from standard input, for an account that had one elsewhere')
    .action(async (jid: string, options: SecretOptions) => addAccount(terminal, await loadServer(), jid, options))
  configured(account.command('password').description('change the password of an account').argument('<jid>'))
    .option('--password-stdin', 'read the password from standard input')
    .action(async (jid: string, options: SecretOptions) => changePassword(terminal, await loadServer(), jid, options))
  configured(account.command('delete').description('delete an account and everything it keeps').argument('<jid>')).action(
    async (jid: string, options: ConfigurationOptions) => deleteAccount(terminal, await loadServer(), jid, options),
  )
  configured(account.command('disable').description('keep an account from logging in').argument('<jid>')).action(
    async (jid: string, options: ConfigurationOptions) => setDisabled(terminal, await loadServer(), jid, true, options),
  )
  configured(account.command('enable').description('let a disabled account log in again').argument('<jid>')).action(
    async (jid: string, options: ConfigurationOptions) => setDisabled(terminal, await loadServer(), jid, false, options),
  )
  configured(account.command('devices').description('list the clients that have access to an account').argument('<jid>')).action(
    async (jid: string, options: ConfigurationOptions) => listDevices(terminal, await loadServer(), jid, options),
  )
  configured(
    account
      .command('revoke')
      .description('log a client out and end its tokens')
      .argument('<jid>')
      .argument('<client>', 'as account devices names it'),
  ).action(async (jid: string, client: string, options: ConfigurationOptions) =>
    revokeDevice(terminal, await loadServer(), jid, client, options),
  )
  configured(account.command('list').description('list all accounts')).action(async (options: ConfigurationOptions) =>
    listAccounts(terminal, await loadServer(), options),
  )
}

const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.')
  return value
}

const portNumber = (text: string): number => {
  const port = wholeNumber(text)
  if (port > 65535) throw new InvalidArgumentError('Ports end at 65535.')
  return port
}
