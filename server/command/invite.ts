import type { Invite, InviteRequest } from '#server/base/operations.ts'
import { parseDuration } from '#server/base/schema.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, readConfiguration } from './configuration.ts'
import { withOperations } from './operations.ts'
import type { ServerSeam } from './server-seam.ts'
import { CommandError, type Terminal } from './terminal.ts'

/** The options of `waxwing invite`. */
export interface InviteOptions extends ConfigurationOptions {
  readonly account?: string
  readonly contact?: string
  readonly expires?: string
}

/** Makes an invitation and prints its link. */
export const invite = async (terminal: Terminal, server: ServerSeam, options: InviteOptions): Promise<void> => {
  const request = toRequest(options)
  const config = readConfiguration(configurationFile(options), server.modules, dataOverride(options))
  const made = await withOperations(server, config, (operations) => operations.createInvite(request))
  for (const each of describeInvite(made)) terminal.out(each)
}

/** The link, and until when it holds. */
export const describeInvite = ({ uri, url, expiresAtMs }: Invite): readonly string[] => [
  url ?? uri,
  ...(url === undefined ? [] : [uri]),
  `Good until ${new Date(expiresAtMs).toISOString().slice(0, 16).replace('T', ' ')} UTC.`,
]

const toRequest = ({ account, contact, expires }: InviteOptions): InviteRequest => {
  if (account !== undefined && contact !== undefined) throw new CommandError('Choose one of --account and --contact.')
  const lifetimeMs = expires === undefined ? undefined : parseDuration(expires)
  if (expires !== undefined && (lifetimeMs === undefined || lifetimeMs === 0))
    throw new CommandError(`--expires ${expires} is not a length of time. Write 2h, 7d and the like.`)
  const lifetime = lifetimeMs === undefined ? {} : { lifetimeMs }
  if (contact !== undefined) return { kind: 'contact', account: contact, ...lifetime }
  return { kind: 'account', ...(account === undefined ? {} : { localpart: account }), ...lifetime }
}
