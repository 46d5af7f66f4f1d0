import { get } from 'node:http'

/** `listen.admin`: it answers on the loopback only, which is the container's own. */
const READY = 'http://127.0.0.1:5290/readyz'
/** Less than the five seconds after which the engine calls the check itself failed, so that there is a reason to read. */
const TIMEOUT_MS = 4_000

const fail = (reason: string): void => {
  process.stderr.write(`${READY}: ${reason}\n`)
  process.exitCode = 1
}

const request = get(READY, { timeout: TIMEOUT_MS }, (response) => {
  response.setEncoding('utf8')
  let said = ''
  response.on('data', (text: string) => {
    said += text
  })
  response.on('end', () => (response.statusCode === 200 ? process.stdout.write(said) : fail(said.trim())))
})
request.on('timeout', () => request.destroy(new Error('no answer')))
request.on('error', ({ message }) => fail(message))
