import { MongoNetworkError } from 'mongodb'
import { systemClock, type Timer } from '#server/base/clock.ts'

/**
 * Sends a command, and rejects with a `MongoNetworkError` when it is not over in time; the signal is aborted then, so that the driver gives up the connection.
 * The driver (7.9) itself may wait for ever: it sends by a connection whose other side has closed it, in the turn before that is told, and then hears nothing of it again.
 */
export const inTime = async <T>(limitMs: number, command: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  const controller = new AbortController()
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    timer = systemClock.after(limitMs, () => {
      const error = new MongoNetworkError(`no answer in ${limitMs / 1000} s`)
      controller.abort(error)
      reject(error)
    })
  })
  try {
    return await Promise.race([command(controller.signal), late])
  } finally {
    timer?.cancel()
  }
}
