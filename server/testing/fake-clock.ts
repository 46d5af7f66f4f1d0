import type { Clock, Timer } from '#server/base/clock.ts'
import { parseDuration } from '#server/base/schema.ts'

interface Pending {
  dueMs: number
  readonly intervalMs: number | undefined
  readonly callback: () => void
}

/** 2026-01-01T00:00:00Z: where the tests' time begins. */
const START_MS = 1_767_225_600_000

/** The clock of one machine, whose wall clock may be wrong; all else is as it is for the others. */
export class WallClock implements Clock {
  readonly #true: Clock
  #wrongByMs = 0

  constructor(clock: Clock) {
    this.#true = clock
  }

  nowMs(): number {
    return this.#true.nowMs() + this.#wrongByMs
  }
  monotonicMs(): number {
    return this.#true.monotonicMs()
  }
  after(delayMs: number, callback: () => void): Timer {
    return this.#true.after(delayMs, callback)
  }
  every(intervalMs: number, callback: () => void): Timer {
    return this.#true.every(intervalMs, callback)
  }

  /** Puts it forward, or back. */
  jump(byMs: number): void {
    this.#wrongByMs += byMs
  }
}

/** A clock that tests turn by hand. */
export class FakeClock implements Clock {
  #nowMs = START_MS
  #timers: Pending[] = []

  nowMs(): number {
    return this.#nowMs
  }
  monotonicMs(): number {
    return this.#nowMs - START_MS
  }
  after(delayMs: number, callback: () => void): Timer {
    return this.#add({ dueMs: this.#nowMs + delayMs, intervalMs: undefined, callback })
  }
  every(intervalMs: number, callback: () => void): Timer {
    return this.#add({ dueMs: this.#nowMs + intervalMs, intervalMs, callback })
  }

  #add(timer: Pending): Timer {
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  /** Moves on by milliseconds, or by a duration such as `75s`; timers fire in the order they are due. */
  advance(by: number | string): void {
    const ms = typeof by === 'number' ? by : parseDuration(by)
    if (ms === undefined) throw new Error(`${by} is no duration`)
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#timers.filter((timer) => timer.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined) break
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      if (next.intervalMs === undefined) this.#timers = this.#timers.filter((other) => other !== next)
      else next.dueMs += next.intervalMs
      next.callback()
    }
    this.#nowMs = endMs
  }

  /** Puts the wall clock back or forward without firing anything, as an operator might. */
  jump(byMs: number): void {
    this.#nowMs += byMs
    for (const timer of this.#timers) timer.dueMs += byMs
  }
}
