/** A timer that can be ended before it fires. */
export interface Timer {
  cancel(): void
}

/** The only reader of time and setter of timers; tests turn a fake one by hand. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number
  /** Milliseconds that only grow, for measuring durations. */
  monotonicMs(): number
  /** Calls back once after the delay; does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer
  /** Calls back again and again; does not keep the process alive. */
  every(intervalMs: number, callback: () => void): Timer
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs).unref()
    return { cancel: () => clearTimeout(timer) }
  },
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs).unref()
    return { cancel: () => clearInterval(timer) }
  },
}

/** Waits for a while and keeps the process alive meanwhile, for what has to be there before anything else can start. */
export const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))
