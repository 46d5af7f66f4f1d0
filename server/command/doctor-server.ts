import type { CoreConfig } from '#server/base/config.ts'
import type { Finding } from './finding.ts'

/** How long a server of this machine may take to say that it is ready; a store that hangs takes longer. */
const ANSWER_MS = 5000

/** Whether the server runs and can do its work, as it says itself on `listen.admin`. */
export const examineServer = async ({ listen: { admin } }: CoreConfig): Promise<readonly Finding[]> => {
  if (admin === 'off' || admin === 0) return []
  const path = `http://127.0.0.1:${admin}/readyz`
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) })
    const says = (await response.text()).trim()
    if (response.status === 200 && says === 'ready') return [{ kind: 'good', what: 'the server runs, and its store can write' }]
    // Something else has the port; that is said of the port itself.
    if (response.status !== 503) return []
    return [{ kind: 'bad', what: `the server runs, but ${says}`, fix: 'Look at the space on its disk, and at its log.' }]
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError')
      return [
        { kind: 'bad', what: `${path} does not answer`, fix: 'Look at the load of the machine and at the log of the server.' },
      ]
    return [{ kind: 'good', what: 'the server does not run now; start it with: waxwing serve' }]
  }
}
