/** The process that `kill.test.ts` kills: it appends without end, and prints what it was told is durable. */
import type { Wire } from '#stanzas/wire.ts'
import { jid, place, SMALL_PACE } from '../contract/subject.ts'
import { SqliteDriver } from './driver.ts'

const OWNERS = 40
const GROUP = 50

const driver = await SqliteDriver.open({
  folder: process.argv[2] ?? '',
  durability: 'full',
  pace: { ...SMALL_PACE, entriesPerPass: 700, marksPerPass: 300 },
  nowMs: () => 0,
})
const { log } = driver
const documents = driver.documents<number>('kill/counters')
let id = await log.lastId()

const report = (word: string, value: number): void => void process.stdout.write(`${word} ${value}\n`)

const appendNext = (): void => {
  id += 1
  const own = id
  const [sender, recipient] = [jid(`a${own % OWNERS}@verona.example`), jid(`a${(own * 7 + 1) % OWNERS}@verona.example`)]
  const places = [place(recipient, sender, 'in', true, own % 5 === 0)]
  if (sender !== recipient) places.push(place(sender, recipient, 'out'))
  log.append(
    { id: own, atMs: own, stanza: `<message id="${own}">${'x'.repeat(own % 900)}</message>` as Wire, isText: true, places },
    (error) => {
      if (error !== undefined) throw error
      report('appended', own)
      if (own % 2 === 0) clear(own)
      appendNext()
    },
  )
}

const clear = (own: number): void => {
  log.clearPending(jid(`a${(own * 7 + 1) % OWNERS}@verona.example`), own, own + 7)
  void log.flush().then(() => report('cleared', own))
}

const count = async (value: number): Promise<void> => {
  await documents.put('counter', 'value', value)
  report('counted', value)
  return count(value + 1)
}

for (let started = 0; started < GROUP; started += 1) appendNext()
void count((await documents.get('counter', 'value')) ?? 0)
