import { chmod, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { FakeClock } from '#server/testing/fake-clock.ts'
import { wire } from '#stanzas/wire.ts'
import { recorded } from './contract/bus.ts'
import { type Child, startChild } from './contract/child.ts'
import { until } from './contract/until.ts'
import type { Links } from './links.ts'
import { openUnixBus } from './unix-bus.ts'

describe('bus over Unix sockets', () => {
  let folder = ''
  const clock = new FakeClock()
  const ends: (() => Promise<void>)[] = []
  const open = async (name: string, epoch: number, queueBytes = 1_000_000): Promise<Links> => {
    const bus = await openUnixBus({ folder, self: { name, epoch }, clock, log: nullLog, limits: { queueBytes } })
    ends.push(() => bus.close())
    return bus
  }
  const child = (epoch: number): Child => {
    const started = startChild('unix-node.child.ts', folder, String(epoch))
    ends.push(() => started.ends())
    return started
  }
  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'waxwing-unix-')), 'bus')
  })
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()))
    await rm(folder, { recursive: true, force: true })
  })

  test('a process that is killed is lost at once, with the requests it had, and leaves no socket', async () => {
    const bus = await open('here', 1)
    const { peers } = recorded(bus)
    const other = child(2)
    await until(() => peers.length > 0)
    const unanswered = expect(bus.request({ name: 'child', epoch: 2 }, 'slow', wire(''))).rejects.toMatchObject({
      reason: 'lost',
    })
    other.signal('SIGKILL')
    // No clock has to be turned for it.
    await unanswered
    expect(peers).toEqual(['+child', '-child'])
    await until(async () => {
      clock.advance(1_000)
      return (await readdir(folder)).length === 1
    }, 'its socket to be removed')
    child(3)
    await until(() => bus.isLinked({ name: 'child', epoch: 3 }))
  })

  test('a process that is stopped fills its queue and loses nothing', async () => {
    const bus = await open('here', 1)
    const { peers } = recorded(bus)
    const other = child(2)
    const to = { name: 'child', epoch: 2 }
    await until(() => bus.isLinked(to))
    other.signal('SIGSTOP')
    const payload = wire('x'.repeat(10_000))
    let sent = 0
    await until(async () => {
      await new Promise(setImmediate)
      const isTaken = bus.send(to, 'note', payload)
      if (isTaken) sent += 1
      return !isTaken
    }, 'a refusal')
    expect(bus.queuedBytes(to)).toBeLessThanOrEqual(1_000_000)
    other.signal('SIGCONT')
    await until(() => other.lines.length === sent, 'all of them')
    expect(bus.send(to, 'note', payload)).toBe(true)
    expect(peers).toEqual(['+child'])
  })

  test('nobody else may enter its folder', async () => {
    await open('here', 1)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    await chmod(folder, 0o777)
    await open('there', 2)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  })

  test('what a dead process left is removed, and what is no socket of a node is let be', async () => {
    await open('here', 1)
    const dead = createServer()
    await new Promise<void>((resolve) => dead.listen(join(folder, 'dead'), resolve))
    await rename(join(folder, 'dead'), join(folder, 'dead@7.sock'))
    await new Promise((resolve) => dead.close(resolve))
    await writeFile(join(folder, 'notes.txt'), '')
    await open('there', 2)
    await until(async () => !(await readdir(folder)).includes('dead@7.sock'), 'it to be removed')
    expect((await readdir(folder)).sort()).toEqual(['here@1.sock', 'notes.txt', 'there@2.sock'])
  })

  test('a folder whose name is too long is refused with its reason', async () => {
    const self = { name: 'here', epoch: 1 }
    await expect(openUnixBus({ folder: join(folder, 'x'.repeat(100)), self, clock, log: nullLog })).rejects.toThrow(
      'choose a shorter folder',
    )
  })
})
