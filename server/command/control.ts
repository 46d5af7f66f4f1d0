import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import * as v from 'valibot'
import { systemClock } from '#server/base/clock.ts'
import { type Invite, OperationError, type Operations } from '#server/base/operations.ts'
import { socketAddress } from '#server/base/socket-address.ts'

/**
 * The command line speaks to a running server of the same machine by JSON over HTTP on a Unix socket, which only the server's own user may open.
 * A request is `{ operation, input }`; the answer is `{ result }`, `{ refused }` in words for the operator, or `{ failed }`.
 */

/** No request is longer: the longest has an address and a password. */
const MAX_REQUEST_BYTES = 64 * 1024

const lifetimeMs = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1)))
const inviteRequest = v.variant('kind', [
  v.strictObject({ kind: v.literal('account'), localpart: v.optional(v.string()), lifetimeMs }),
  v.strictObject({ kind: v.literal('contact'), account: v.string(), lifetimeMs }),
])
const requestSchema = v.variant('operation', [
  v.strictObject({ operation: v.literal('addAccount'), input: v.strictTuple([v.string(), v.string()]) }),
  v.strictObject({ operation: v.literal('importAccount'), input: v.strictTuple([v.string(), v.string()]) }),
  v.strictObject({ operation: v.literal('deleteAccount'), input: v.strictTuple([v.string()]) }),
  v.strictObject({ operation: v.literal('setPassword'), input: v.strictTuple([v.string(), v.string()]) }),
  v.strictObject({ operation: v.literal('setDisabled'), input: v.strictTuple([v.string(), v.boolean()]) }),
  v.strictObject({ operation: v.literal('listAccounts'), input: v.strictTuple([]) }),
  v.strictObject({ operation: v.literal('listDevices'), input: v.strictTuple([v.string()]) }),
  v.strictObject({ operation: v.literal('revokeDevice'), input: v.strictTuple([v.string(), v.string()]) }),
  v.strictObject({ operation: v.literal('createInvite'), input: v.strictTuple([inviteRequest]) }),
  v.strictObject({ operation: v.literal('drain'), input: v.strictTuple([v.pipe(v.number(), v.safeInteger(), v.minValue(0))]) }),
  v.strictObject({ operation: v.literal('drainProgress'), input: v.strictTuple([]) }),
  v.strictObject({ operation: v.literal('status'), input: v.strictTuple([]) }),
])
type ControlRequest = v.InferOutput<typeof requestSchema>

const nothing = v.optional(v.undefined_())
const resultSchemas = {
  accounts: v.array(v.object({ jid: v.string(), createdAtMs: v.number(), isDisabled: v.boolean() })),
  devices: v.array(
    v.object({
      id: v.string(),
      software: v.exactOptional(v.string()),
      device: v.exactOptional(v.string()),
      lastSeenMs: v.number(),
      isConnected: v.boolean(),
      knowsPassword: v.boolean(),
      hasToken: v.boolean(),
    }),
  ),
  revoked: v.object({ knowsPassword: v.boolean() }),
  invite: v.object({ uri: v.string(), url: v.exactOptional(v.string()), token: v.string(), expiresAtMs: v.number() }),
  drainProgress: v.object({
    phase: v.picklist(['serving', 'waiting', 'leaving', 'stopping']),
    clients: v.exactOptional(v.number()),
  }),
  status: v.object({
    version: v.string(),
    domain: v.string(),
    isRunning: v.boolean(),
    sessions: v.number(),
    accounts: v.number(),
    startedAtMs: v.exactOptional(v.number()),
  }),
}
const answerSchema = v.union([
  v.strictObject({ refused: v.string() }),
  v.strictObject({ failed: v.string() }),
  v.strictObject({ result: v.optional(v.unknown()) }),
])

const perform = (operations: Operations, request: ControlRequest): Promise<unknown> => {
  switch (request.operation) {
    case 'addAccount':
      return operations.addAccount(...request.input)
    case 'importAccount':
      return operations.importAccount(...request.input)
    case 'deleteAccount':
      return operations.deleteAccount(...request.input)
    case 'setPassword':
      return operations.setPassword(...request.input)
    case 'setDisabled':
      return operations.setDisabled(...request.input)
    case 'listAccounts':
      return operations.listAccounts()
    case 'listDevices':
      return operations.listDevices(...request.input)
    case 'revokeDevice':
      return operations.revokeDevice(...request.input)
    case 'createInvite':
      return operations.createInvite(withoutUndefined(request.input[0]))
    case 'drain':
      return operations.drain(...request.input)
    case 'drainProgress':
      return operations.drainProgress()
    case 'status':
      return operations.status()
  }
}

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> }
const withoutUndefined = <T extends object>(value: T): Present<T> =>
  // Nothing undefined is left, which is what the type says.
  Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Present<T>

const addressOf = (socket: string): string => {
  try {
    return socketAddress(socket)
  } catch (error) {
    throw new OperationError(error instanceof Error ? `${error.message}.` : String(error))
  }
}

const readJson = async (message: IncomingMessage, maxBytes: number): Promise<unknown> => {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of message) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > maxBytes) throw new OperationError('The request is too long.')
    chunks.push(bytes)
  }
  return JSON.parse(Buffer.concat(chunks).toString())
}

const answer = async (operations: Operations, message: IncomingMessage, response: ServerResponse): Promise<void> => {
  const send = (status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  try {
    const request = v.safeParse(requestSchema, await readJson(message, MAX_REQUEST_BYTES))
    if (!request.success)
      return send(400, { failed: 'the request is not understood; are the command and the server of one version?' })
    send(200, { result: await perform(operations, request.output) })
  } catch (error) {
    if (error instanceof OperationError) send(200, { refused: error.message })
    else send(500, { failed: error instanceof Error ? error.message : String(error) })
  }
}

/** Offers the operations on this socket; throws when another server does so already. */
export const serveControl = async (socket: string, operations: Operations): Promise<{ close(): Promise<void> }> => {
  const path = addressOf(socket)
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 })
  if (await isAnswering(socket)) throw new OperationError(`A server runs on ${dirname(socket)} already.`)
  rmSync(socket, { force: true })
  const server = createServer((message, response) => void answer(operations, message, response))
  const listening = new Promise<void>((resolve, reject) => server.once('error', reject).once('listening', resolve))
  // `listen` makes the socket before it returns: between that and chmod nobody else may open it.
  const before = process.umask(0o177)
  server.listen(path)
  process.umask(before)
  await listening
  chmodSync(socket, 0o600)
  server.unref()
  return {
    close: () =>
      new Promise((resolve) => {
        // Who waits for a drain is still told that it is over.
        const late = systemClock.after(LAST_ANSWERS_MS, () => server.closeAllConnections())
        server.close(() => {
          late.cancel()
          resolve()
        })
      }),
  }
}

/** How long a server may take for an operation, in milliseconds: deriving keys and deleting a large account take a while. */
const ANSWER_TIMEOUT_MS = 60_000
/** How long a server that stops waits until its answers have gone. */
const LAST_ANSWERS_MS = 500

const exchange = (socket: string, body: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const call = request(
      { socketPath: addressOf(socket), method: 'POST', path: '/', timeout: timeoutMs, agent: false },
      (response) => {
        readJson(response, Number.POSITIVE_INFINITY).then(resolve, reject)
      },
    )
    call.on('timeout', () => call.destroy(new Error('the server does not answer')))
    call.on('error', reject)
    call.end(body)
  })

const ABSENT = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'])
const isAbsent = (error: unknown): boolean => error instanceof Error && 'code' in error && ABSENT.has(String(error.code))

const isAnswering = async (socket: string): Promise<boolean> => {
  try {
    await exchange(socket, JSON.stringify({ operation: 'status', input: [] }))
    return true
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

/** The operations of the server that listens on this socket; `undefined` when none does. */
export const connectControl = async (socket: string): Promise<Operations | undefined> => {
  if (!(await isAnswering(socket))) return undefined
  const call = async <T>(schema: v.GenericSchema<unknown, T>, request: ControlRequest, timeoutMs?: number): Promise<T> => {
    const body = v.parse(answerSchema, await exchange(socket, JSON.stringify(request), timeoutMs))
    if ('refused' in body) throw new OperationError(body.refused)
    if ('failed' in body) throw new Error(`the server failed: ${body.failed}`)
    return v.parse(schema, body.result)
  }
  return {
    addAccount: (jid, password) => call(nothing, { operation: 'addAccount', input: [jid, password] }),
    importAccount: (jid, hash) => call(nothing, { operation: 'importAccount', input: [jid, hash] }),
    deleteAccount: (jid) => call(nothing, { operation: 'deleteAccount', input: [jid] }),
    setPassword: (jid, password) => call(nothing, { operation: 'setPassword', input: [jid, password] }),
    setDisabled: (jid, isDisabled) => call(nothing, { operation: 'setDisabled', input: [jid, isDisabled] }),
    listAccounts: () => call(resultSchemas.accounts, { operation: 'listAccounts', input: [] }),
    listDevices: (jid) => call(resultSchemas.devices, { operation: 'listDevices', input: [jid] }),
    revokeDevice: (jid, id) => call(resultSchemas.revoked, { operation: 'revokeDevice', input: [jid, id] }),
    createInvite: (request) => call<Invite>(resultSchemas.invite, { operation: 'createInvite', input: [request] }),
    // As many clients, so long.
    drain: (graceMs) => call(nothing, { operation: 'drain', input: [graceMs] }, 0),
    drainProgress: () => call(resultSchemas.drainProgress, { operation: 'drainProgress', input: [] }),
    status: () => call(resultSchemas.status, { operation: 'status', input: [] }),
  }
}

/** Where the server of this data folder listens for the command line. */
export const controlSocket = (dataFolder: string): string => `${dataFolder}/control.sock`
