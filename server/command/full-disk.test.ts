import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Actor } from '#server/testing/actor.ts'
import { xml } from '#server/testing/match.ts'
import { ProgramUnderTest } from '#server/testing/program-under-test.ts'

/** A small disk of the program's own, which a test may fill: a file system in memory that no other process sees. Only root may make one. */
const withDisk = (folder: string): readonly string[] => [
  ...['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=16m none "$0" && exec "$@"'],
  folder,
]
const isPossible = spawnSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=1m none /tmp']).status === 0

const SM = 'urn:xmpp:sm:3'
const PIECE = Buffer.alloc(64 * 1024)
let server: ProgramUnderTest | undefined
afterEach(() => server?.remove())

const message = (id: string) =>
  `<message type="chat" id="${id}" to="juliet@localhost"><body>${'Wherefore art thou? '.repeat(500)}</body></message>`
/** Sends it and asks whether it was taken; whether it was refused instead. */
const isRefused = async (actor: Actor, id: string): Promise<boolean> => {
  await actor.sends(xml`${message(id)}<r xmlns="${SM}"/>`)
  let hasError = false
  for (let next = await actor.next(); next.name !== 'a'; next = await actor.next()) {
    if (next.name !== 'message') continue
    expect(next.attrs).toMatchObject({ id, type: 'error' })
    expect(next.getChild('error', 'jabber:client')?.children).toMatchObject([{ name: 'resource-constraint' }])
    hasError = true
  }
  return hasError
}

describe.skipIf(!isPossible)('workers over one store', () => {
  test('P4: a full disk refuses, is said, and is over when there is room again; what was acknowledged is there, what was refused is not', async () => {
    const program = await ProgramUnderTest.configure('workers: 2')
    server = program
    const data = join(program.folder, 'data')
    program.start(withDisk(data))
    await program.becomes(200)
    const within = ['nsenter', `--mount=/proc/${program.pid}/ns/mnt`, `--wdns=${program.folder}`]
    for (const name of ['romeo', 'juliet']) await program.addAccount(name, within)
    const romeo = await program.connect('romeo', 'orchard')
    await romeo.sends(`<enable xmlns="${SM}"/>`)
    await romeo.receives(xml`<enabled xmlns="${SM}"/>`)
    const taken = ['before']
    expect(await isRefused(romeo, 'before')).toBe(false)

    const ballast = join(`/proc/${program.pid}/root`, data, 'ballast')
    expect(() => {
      for (;;) writeFileSync(ballast, PIECE, { flag: 'a' })
    }).toThrow('ENOSPC')
    // What is there of the log is written over first.
    for (let number = 0; ; number++) {
      const id = `m${number}`
      if (await isRefused(romeo, id)) break
      taken.push(id)
    }
    expect(await program.says('storage-failed')).toMatchObject({ error: { message: expect.stringMatching('the disk is full') } })
    expect(await isRefused(romeo, 'still')).toBe(true)

    rmSync(ballast)
    await program.becomes(200)
    expect(await isRefused(romeo, 'after')).toBe(false)
    taken.push('after')
    const juliet = await program.connect('juliet', 'balcony')
    await juliet.sends('<presence/>')
    const come: string[] = []
    while (come.at(-1) !== 'after') {
      const next = await juliet.next()
      if (next.name === 'message') come.push(next.attrs.id ?? '')
    }
    expect(come).toEqual(taken)
    program.signal('SIGTERM')
    expect(await program.ended()).toBe(0)
  }, 120_000)
})
