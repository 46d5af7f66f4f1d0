/**
 * What the MongoDB driver costs: `node bench/micro/mongodb.ts mongodb://127.0.0.1:27017/bench 40000`.
 * CPU is user and system time of this process alone; without a URL, a server that answers at once and keeps nothing stands in, so that nothing but the driver is measured.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { BSON } from 'mongodb'
import type { BareJid } from '#stanzas/jid.ts'
import { wire } from '#stanzas/wire.ts'
import { openDriver } from '#storage/open.ts'
import type { Log, LogPlace, LogRecord } from '#storage/shapes.ts'

const STANZA = wire(`<message type="chat">${'x'.repeat(440 - 31)}</message>`)
const ACCOUNTS = 1000
const MESSAGES = Number(process.argv[3] ?? 40_000)
const OP_MSG = 2013

const place = (owner: number, peer: number, direction: 'in' | 'out'): LogPlace => ({
  owner: `account${owner}@example.org` as BareJid,
  peer: `account${peer}@example.org`,
  direction,
  isPending: direction === 'in',
  isTransient: false,
})

/** A message between two accounts: one record, two places. */
const recordOf = (id: number): LogRecord => {
  const [from, to] = [id % ACCOUNTS, (id * 7 + 1) % ACCOUNTS]
  return {
    id,
    atMs: id,
    stanza: STANZA,
    isText: true,
    places: from === to ? [place(to, from, 'in')] : [place(to, from, 'in'), place(from, to, 'out')],
  }
}

/** Keeps so many appends waiting, and takes each recipient's mark off when its message is durable, as delivery does. */
const chat = (log: Log, first: number, count: number, atOnce: number, takes: boolean): Promise<void> =>
  new Promise((resolve, reject) => {
    let [next, done] = [first, 0]
    const add = () => {
      const record = recordOf(next)
      next += 1
      log.append(record, (error) => {
        if (error !== undefined) return reject(error)
        const [recipient] = record.places
        if (takes && recipient !== undefined) log.clearPending(recipient.owner, record.id, record.atMs)
        done += 1
        if (done === count) resolve()
        else if (next < first + count) add()
      })
    }
    for (let index = 0; index < Math.min(atOnce, count); index += 1) add()
  })

/** Answers each command with success, and each start of a connection as a primary does. */
const answerAll = async (): Promise<void> => {
  const hello = {
    ok: 1,
    isWritablePrimary: true,
    setName: 'rs',
    hosts: [] as string[],
    me: '',
    maxWireVersion: 25,
    minWireVersion: 0,
    logicalSessionTimeoutMinutes: 30,
  }
  const limits = { maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 }
  const server = createServer((socket) => {
    let kept = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      kept = kept.length === 0 ? chunk : Buffer.concat([kept, chunk])
      while (kept.length >= 16 && kept.length >= kept.readInt32LE(0)) {
        const message = kept.subarray(0, kept.readInt32LE(0))
        kept = kept.subarray(message.length)
        const isMessage = message.readInt32LE(12) === OP_MSG
        // The command's name is the first key of its document.
        const name = isMessage ? message.toString('latin1', 26, message.indexOf(0, 26)) : 'hello'
        const answer = /hello|ismaster/i.test(name)
          ? { ...hello, ...limits }
          : { ok: 1, n: 1, cursor: { id: BSON.Long.ZERO, ns: 'bench.x', firstBatch: [] } }
        const document = BSON.serialize(answer)
        const head = Buffer.alloc(isMessage ? 21 : 36)
        head.writeInt32LE(head.length + document.length, 0)
        head.writeInt32LE(message.readInt32LE(4), 8)
        head.writeInt32LE(isMessage ? OP_MSG : 1, 12)
        if (!isMessage) head.writeInt32LE(1, 32)
        socket.write(Buffer.concat([head, document]))
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  hello.hosts = [`127.0.0.1:${port}`]
  hello.me = `127.0.0.1:${port}`
  process.send?.(port)
}

const measure = async (url: string): Promise<void> => {
  console.log('| appends waiting | marks taken off | CPU us an append | appends a second |\n|---|---|---|---|')
  const driver = await openDriver({ kind: 'mongodb', url }, { nowMs: () => 0 })
  let id = (await driver.log.lastId()) + 1
  const run = async (count: number, atOnce: number, takes: boolean): Promise<readonly [number, number]> => {
    const [cpu, startMs] = [process.cpuUsage(), performance.now()]
    await chat(driver.log, id, count, atOnce, takes)
    await driver.log.flush()
    id += count
    const { user, system } = process.cpuUsage(cpu)
    return [(user + system) / count, (count * 1000) / (performance.now() - startMs)]
  }
  await run(MESSAGES, 100, true)
  for (const takes of [false, true])
    for (const atOnce of [1, 10, 100, 500]) {
      const count = atOnce === 1 ? MESSAGES / 20 : MESSAGES
      const rounds = [await run(count, atOnce, takes), await run(count, atOnce, takes), await run(count, atOnce, takes)]
      const [cpu = 0, rate = 0] = rounds.toSorted(([a], [b]) => a - b)[1] ?? []
      console.log(`| ${atOnce} | ${takes ? 'yes' : 'no'} | ${cpu.toFixed(1)} | ${rate.toFixed(0)} |`)
    }
  await driver.close()
}

if (process.send !== undefined) await answerAll()
else {
  const [, , url] = process.argv
  let child: ChildProcess | undefined
  if (url === undefined) {
    child = fork(import.meta.filename, { stdio: 'inherit' })
    const [port] = await once(child, 'message')
    await measure(`mongodb://127.0.0.1:${port}/bench?replicaSet=rs`)
    child.kill()
  } else await measure(url)
}
