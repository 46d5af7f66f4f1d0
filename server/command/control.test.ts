import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OperationError, type Operations } from '#server/base/operations.ts'
import { recordingOperations } from '#server/testing/recording-operations.ts'
import { connectControl, controlSocket, serveControl } from './control.ts'

let folder: string
let open: { close(): Promise<void> }[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'waxwing-control-'))
  open = []
})
afterEach(async () => {
  for (const each of open) await each.close()
  rmSync(folder, { recursive: true })
})

const serve = async (operations: Operations): Promise<Operations> => {
  open.push(await serveControl(controlSocket(folder), operations))
  const connected = await connectControl(controlSocket(folder))
  if (connected === undefined) throw new Error('nobody answers')
  return connected
}

test('every operation arrives as it was asked for, and its result comes back', async () => {
  const { operations, calls } = recordingOperations()
  const remote = await serve(operations)
  calls.length = 0
  await remote.addAccount('juliet@example.org', 'pässwörd "\n')
  await remote.importAccount('romeo@example.org', '$2b$')
  await remote.deleteAccount('tybalt@example.org')
  await remote.setPassword('juliet@example.org', 'x')
  await remote.setDisabled('juliet@example.org', true)
  expect(await remote.listAccounts()).toEqual([{ jid: 'juliet@example.org', createdAtMs: 5, isDisabled: false }])
  expect(await remote.listDevices('juliet@example.org')).toMatchObject([{ software: 'Gajim' }, { hasToken: true }])
  expect(await remote.revokeDevice('juliet@example.org', 'x')).toEqual({ knowsPassword: true })
  expect(await remote.createInvite({ kind: 'contact', account: 'juliet@example.org', lifetimeMs: 7 })).toEqual({
    uri: 'xmpp:example.org?register',
    token: 't',
    expiresAtMs: 9,
  })
  await remote.drain(5_000)
  expect(await remote.drainProgress()).toEqual({ phase: 'leaving', clients: 2 })
  expect(await remote.status()).toMatchObject({ domain: 'example.org', isRunning: true })
  expect(calls).toEqual([
    ['addAccount', 'juliet@example.org', 'pässwörd "\n'],
    ['importAccount', 'romeo@example.org', '$2b$'],
    ['deleteAccount', 'tybalt@example.org'],
    ['setPassword', 'juliet@example.org', 'x'],
    ['setDisabled', 'juliet@example.org', true],
    ['listAccounts'],
    ['listDevices', 'juliet@example.org'],
    ['revokeDevice', 'juliet@example.org', 'x'],
    ['createInvite', { kind: 'contact', account: 'juliet@example.org', lifetimeMs: 7 }],
    ['drain', 5_000],
    ['drainProgress'],
    ['status'],
  ])
})

test('a refusal stays a refusal, and a failure a failure', async () => {
  const remote = await serve({
    ...recordingOperations().operations,
    addAccount: () => Promise.reject(new OperationError('juliet@example.org exists already.')),
    deleteAccount: () => Promise.reject(new TypeError('a bug')),
  })
  await expect(remote.addAccount('juliet@example.org', 'x')).rejects.toThrow(
    new OperationError('juliet@example.org exists already.'),
  )
  await expect(remote.deleteAccount('juliet@example.org')).rejects.toThrow('the server failed: a bug')
})

test('only the user of the server may open the socket', async () => {
  chmodSync(folder, 0o755)
  await serve(recordingOperations().operations)
  expect(statSync(controlSocket(folder)).mode & 0o777).toBe(0o600)
})

test('nobody answers where no server runs, whatever is left of one', async () => {
  expect(await connectControl(controlSocket(folder))).toBeUndefined()
  writeFileSync(controlSocket(folder), '')
  expect(await connectControl(controlSocket(folder))).toBeUndefined()
  await serve(recordingOperations().operations)
})

test('a second server on the same folder is refused', async () => {
  await serve(recordingOperations().operations)
  await expect(serveControl(controlSocket(folder), recordingOperations().operations)).rejects.toThrow(
    `A server runs on ${folder} already.`,
  )
})

test('a folder whose path is too long for a socket is refused in words', async () => {
  const deep = join(folder, 'x'.repeat(120))
  await expect(serveControl(controlSocket(deep), recordingOperations().operations)).rejects.toThrow(
    'choose a shorter data folder',
  )
})

const raw = (body: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const call = request({ socketPath: controlSocket(folder), method: 'POST' }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode))
    })
    call.on('error', reject)
    call.end(body)
  })

test('what is no request is refused, and nothing is called', async () => {
  const { operations, calls } = recordingOperations()
  await serve(operations)
  calls.length = 0
  expect(await raw('{')).toBe(500)
  expect(await raw('{"operation":"constructor","input":[]}')).toBe(400)
  expect(await raw('{"operation":"addAccount","input":["juliet@example.org"]}')).toBe(400)
  expect(await raw('{"operation":"createInvite","input":[{"kind":"account","admin":true}]}')).toBe(400)
  expect(calls).toEqual([])
})

test('something else on the socket is not taken for a server', async () => {
  const other = createServer((socket) => socket.end('nonsense\r\n', () => socket.destroy()))
  await new Promise<void>((resolve) => other.listen(controlSocket(folder), resolve))
  open.push({ close: () => new Promise((resolve) => other.close(() => resolve())) })
  await expect(connectControl(controlSocket(folder))).rejects.toThrow('Parse Error')
})
