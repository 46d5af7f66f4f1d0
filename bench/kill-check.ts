import { fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { forEachIndex } from './client/accounts.ts'
import { fullSockets } from './cpu.ts'
import { Account } from './kill/account.ts'
import { Inbox } from './kill/inbox.ts'
import type { KillOptions, KillReport } from './kill/options.ts'
import { headingOf, paddedMessageWriter } from './load/message.ts'
import { adopt } from './processes.ts'

// Kills the server under load and looks whether it kept its word: pairs of accounts with XEP-0198, of whom one writes and one receives.
// Everything the server acknowledged must arrive, once for a client that compares stanza ids, and in order.

const AFTERWARDS = 5 // messages each sender sends when all are back, to see that the server lives and order holds
const QUIET_MS = 3000
const SETTLE_WITHIN_MS = 60_000

/** Runs the check in a process of its own; `killAndRestart` is called when the load has lasted long enough. */
export function checkKill(options: KillOptions, killAndRestart: () => Promise<unknown>): Promise<KillReport> {
  const child = fork(import.meta.filename, [JSON.stringify(options)])
  adopt(child)
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the kill check ended with ${code}`)))
    child.on('message', (message) => {
      if (message === 'kill') killAndRestart().then(() => child.send('restarted'), reject)
      else resolve(message as KillReport)
    })
  })
}

async function check(options: KillOptions): Promise<KillReport> {
  const pairs = Array.from({ length: options.pairs }, (_, at) => new Pair(at, options))
  const all = pairs.flatMap(({ sender, receiver }) => [sender, receiver])
  const missing = await online(options.receivers === 'away' ? pairs.map(({ sender }) => sender) : all)
  if (missing > 0) throw new Error(`${missing} accounts cannot log in`)
  await sleep(500)
  if (options.receivers === 'hang') for (const { receiver } of pairs) receiver.stall()

  for (const pair of pairs) pair.begin()
  await sleep(options.seconds * 1000)
  const full = fullSockets(options.serverPort)
  const restarted = new Promise((resolve) => process.once('message', resolve))
  process.send?.('kill')
  await restarted
  for (const pair of pairs) pair.stopSending()
  for (const account of all) account.drop()

  const notBack = await online(all)
  for (const pair of pairs) pair.sendMore(AFTERWARDS)
  await settle(pairs)
  const sum = (of: (pair: Pair) => number) => pairs.reduce((total, pair) => total + of(pair), 0)
  return {
    sent: sum(({ sent }) => sent),
    acked: sum(({ sender }) => sender.acked),
    lost: sum((pair) => pair.lost()),
    doubled: sum(({ inbox }) => inbox.doubled),
    repeated: sum(({ inbox }) => inbox.repeated),
    reordered: sum(({ inbox }) => inbox.reordered),
    resumed: all.reduce((total, { resumptions }) => total + resumptions, 0),
    fullSockets: full,
    notBack,
  }
}

class Pair {
  readonly sender: Account
  readonly receiver: Account
  readonly inbox: Inbox
  sent = 0
  received = 0
  #sending = false
  readonly #window: number
  readonly #write: (sequence: number) => string

  constructor(at: number, options: KillOptions) {
    const run = 100_000 + Math.floor(Math.random() * 900_000)
    this.sender = new Account(2 * at, options)
    this.receiver = new Account(2 * at + 1, options)
    this.inbox = new Inbox(this.receiver.bareJid)
    this.#window = options.window
    this.#write = paddedMessageWriter(run, this.sender.index, this.receiver.bareJid, options.bodyBytes)
    this.sender.onAck = () => this.#fill()
    this.receiver.onMessage = (xml) => {
      const heading = headingOf(xml)
      if (heading?.run !== run) return
      this.received++
      this.inbox.take(heading.sequence, xml)
    }
  }

  begin(): void {
    this.#sending = true
    this.#fill()
  }

  stopSending(): void {
    this.#sending = false
  }

  sendMore(count: number): void {
    for (let at = 0; at < count; at++) this.#sendNext()
    this.sender.requestAck()
  }

  lost(): number {
    let lost = 0
    for (let sequence = 0; sequence < this.sender.acked; sequence++) if (!this.inbox.has(sequence)) lost++
    return lost
  }

  #fill(): void {
    while (this.#sending && this.sender.unackedCount < this.#window) {
      this.#sendNext()
      if (this.sent % (this.#window >> 1) === 0) this.sender.requestAck()
    }
  }

  #sendNext(): void {
    const sequence = this.sent++
    this.sender.send({ sequence, xml: this.#write(sequence) })
  }
}

// Done when all that was sent is acknowledged and nothing has come for a while.
async function settle(pairs: readonly Pair[]): Promise<void> {
  const until = Date.now() + SETTLE_WITHIN_MS
  let before = -1
  let since = Date.now()
  while (Date.now() < until && Date.now() - since < QUIET_MS) {
    await sleep(100)
    const now = pairs.reduce((total, { received, sender }) => total + received + sender.acked, 0)
    if (now !== before) since = Date.now()
    before = now
  }
}

async function online(accounts: readonly Account[]): Promise<number> {
  let notBack = 0
  await forEachIndex(accounts.length, 50, async (at) => {
    if (!(await accounts[at]?.comeOnline())) notBack++
  })
  return notBack
}

if (import.meta.main) {
  const report = await check(JSON.parse(process.argv[2] ?? '') as KillOptions)
  process.send?.(report, () => process.exit(0))
}
