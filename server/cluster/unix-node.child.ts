/** The process that tests stop and kill: it says what it is sent, and answers nothing it is asked. */
import { systemClock } from '#server/base/clock.ts'
import { nullLog } from '#server/base/log.ts'
import { openUnixBus } from './unix-bus.ts'

const [folder = '', epoch = ''] = process.argv.slice(2)
const bus = await openUnixBus({ folder, self: { name: 'child', epoch: Number(epoch) }, clock: systemClock, log: nullLog })
bus.onMessage('note', (_, payload) => void process.stdout.write(`${payload.length}\n`))
bus.onRequest('slow', () => new Promise<never>(() => {}))
process.stdin.resume()
