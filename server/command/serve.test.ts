import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import type { Clock } from '#server/base/clock.ts'
import { recordingOperations } from '#server/testing/recording-operations.ts'
import { connectControl, controlSocket } from './control.ts'
import { serve } from './serve.ts'
import type { ServerSeam } from './server-seam.ts'

class Host extends EventEmitter {
  readonly pid = 1
  readonly exits: number[] = []
  exit(code: number): void {
    this.exits.push(code)
  }
}

const stopping = async () => {
  let nowMs = 0
  const nothing = { cancel() {} }
  const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => nothing, every: () => nothing }
  const host = new Host()
  const stops: string[] = []
  let isStopping = (): void => {}
  const stopCalled = new Promise<void>((resolve) => {
    isStopping = resolve
  })
  const { operations } = recordingOperations()
  const server: ServerSeam = {
    startServer: async () => ({
      ports: {},
      operations,
      stop: () => {
        stops.push('stop')
        isStopping()
        return new Promise(() => {})
      },
    }),
    openOperations: () => Promise.reject(new Error('not here')),
    describeOrder: async () => '',
    modules: [],
  }
  const terminal = { input: Readable.from([]), out() {}, err() {}, log: { write() {} }, exitWith() {} }
  await serve(terminal, server, { dev: true }, host, clock)
  return {
    host,
    stops,
    stopCalled,
    advance: (ms: number) => {
      nowMs += ms
    },
  }
}

test('the first signal stops gracefully, once, also when launcher and service manager both send it', async () => {
  const { host, stops, stopCalled, advance } = await stopping()
  host.emit('SIGTERM')
  advance(100)
  host.emit('SIGTERM')
  await stopCalled
  expect(stops).toEqual(['stop'])
  expect(host.exits).toEqual([])
  advance(500)
  host.emit('SIGTERM')
  expect(host.exits).toEqual([1])
})

test('a second signal exits at once', async () => {
  const { host, advance } = await stopping()
  host.emit('SIGINT')
  advance(600)
  host.emit('SIGINT')
  expect(host.exits).toEqual([1])
})

test('a server that is drained stops and exits with 0, after whoever asked has been told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'waxwing-serve-'))
  const stops: string[] = []
  const { operations } = recordingOperations()
  const server: ServerSeam = {
    startServer: async () => ({ ports: {}, operations, stop: async () => void stops.push('stop') }),
    openOperations: () => Promise.reject(new Error('not here')),
    describeOrder: async () => '',
    modules: [],
  }
  const host = new Host()
  const exited = new Promise<number>((resolve) => (host.exit = resolve))
  const terminal = { input: Readable.from([]), out() {}, err() {}, log: { write() {} }, exitWith() {} }
  await serve(terminal, server, { dev: true, data: folder }, host)
  const control = await connectControl(controlSocket(folder))
  await control?.drain(0)
  expect(stops).toEqual(['stop'])
  expect(await exited).toBe(0)
  expect(await connectControl(controlSocket(folder))).toBeUndefined()
  rmSync(folder, { recursive: true })
})
