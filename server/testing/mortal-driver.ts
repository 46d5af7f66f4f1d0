import type { Driver } from '#storage/driver.ts'

/** A store as one process reaches it. */
export interface MortalDriver {
  readonly driver: Driver
  /** The process dies: nothing more of it reaches the store, and it hears of nothing that was on its way there. */
  kill(): void
  /** From now on what it appends to the log is on its way, also when it has died, until it lands. */
  delay(): { land(): void }
}

const NEVER = new Promise<never>(() => undefined)

/** Lets a process die, as by `kill -9`, over a store that lives on. */
export const mortal = (driver: Driver): MortalDriver => {
  let isDead = false
  let onItsWay: (() => void)[] | undefined

  const heard = (given: unknown): unknown =>
    typeof given === 'function' ? (...told: unknown[]) => (isDead ? undefined : Reflect.apply(given, undefined, told)) : given
  const answered = (result: unknown): unknown =>
    result instanceof Promise ? result.then((value) => (isDead ? NEVER : value)) : watched(result)
  const watched = (subject: unknown): unknown =>
    typeof subject === 'object' && subject !== null ? new Proxy(subject, { get: (target, key) => member(target, key) }) : subject
  const member = (target: object, key: string | symbol): unknown => {
    const value: unknown = Reflect.get(target, key)
    if (typeof value !== 'function') return watched(value)
    if (key === 'append' && onItsWay !== undefined) {
      const late = onItsWay
      return (...given: unknown[]) => void late.push(() => Reflect.apply(value, target, given.map(heard)))
    }
    return (...given: unknown[]) => (isDead ? NEVER : answered(Reflect.apply(value, target, given.map(heard))))
  }

  return {
    driver: watched(driver) as Driver,
    kill() {
      isDead = true
    },
    delay() {
      const late: (() => void)[] = []
      onItsWay = late
      return {
        land() {
          for (const append of late.splice(0)) append()
        },
      }
    },
  }
}
