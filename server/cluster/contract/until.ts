import { setTimeout as pause } from 'node:timers/promises'

/** Longer than anything here takes on a machine that is busy. */
const PATIENCE_MS = 15_000

/** Waits until something holds: other processes and sockets take the time they take. */
export const until = async (holds: () => boolean | Promise<boolean>, what = holds.toString()): Promise<void> => {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`in vain: ${what}`)
    await pause(1)
  }
}
