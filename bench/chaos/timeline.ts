import type { Fault } from './schedule.ts'

/** What happened in one second. */
export type Second = { sent: number; acked: number; received: number; online: number; wanted: number; unserved: number }

/** From when on and for how long a device was not served, though it wanted to be. */
export type Outage = { readonly device: string; readonly fromMs: number; readonly forMs: number }

/** The run second by second, and who was not served when. */
export class Timeline {
  readonly outages: Outage[] = []
  readonly #seconds: Second[] = []
  readonly #since = new Map<string, number>()

  get seconds(): readonly Second[] {
    return this.#seconds
  }

  count(atMs: number, what: 'sent' | 'acked' | 'received', by = 1): void {
    this.#second(atMs)[what] += by
  }

  /** Looks at all devices; several times a second, of which the worst is kept. */
  look(
    atMs: number,
    devices: readonly {
      readonly name: string
      readonly isWanted: boolean
      readonly isOnline: boolean
      readonly isServed: boolean
    }[],
  ): void {
    const second = this.#second(atMs)
    const unserved = devices.filter(({ isServed }) => !isServed)
    second.online = devices.filter(({ isOnline }) => isOnline).length
    second.wanted = devices.filter(({ isWanted }) => isWanted).length
    second.unserved = Math.max(second.unserved, unserved.length)
    for (const { name, isServed } of devices) {
      const since = this.#since.get(name)
      if (!isServed) this.#since.set(name, since ?? atMs)
      else if (since !== undefined) {
        this.#since.delete(name)
        this.outages.push({ device: name, fromMs: since, forMs: atMs - since })
      }
    }
  }

  /** Ends all outages that still last. */
  close(atMs: number): void {
    for (const [device, fromMs] of this.#since) this.outages.push({ device, fromMs, forMs: atMs - fromMs })
    this.#since.clear()
  }

  #second(atMs: number): Second {
    const at = Math.max(0, Math.floor(atMs / 1000))
    for (;;) {
      const second = this.#seconds[at]
      if (second !== undefined) return second
      this.#seconds.push({ sent: 0, acked: 0, received: 0, online: 0, wanted: 0, unserved: 0 })
    }
  }
}

/** How the clients fared under one fault, until the next began. */
export type Recovery = {
  readonly fault: Fault
  /** From the beginning of the fault until all were served again; 0 if all were all the time. */
  readonly allBackMs: number
  /** How long each device was away that was. */
  readonly outagesMs: readonly number[]
}

/** Shares the outages out to the faults that they began under. */
export const recoveries = (faults: readonly Fault[], outages: readonly Outage[], endMs: number): readonly Recovery[] =>
  faults.map((fault, at) => {
    const until = faults[at + 1]?.atMs ?? endMs
    const own = outages.filter(({ fromMs }) => fromMs >= fault.atMs && fromMs < until)
    const ends = own.map(({ fromMs, forMs }) => fromMs + forMs - fault.atMs)
    return { fault, allBackMs: Math.max(0, ...ends), outagesMs: own.map(({ forMs }) => forMs) }
  })
