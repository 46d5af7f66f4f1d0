import { expect, test } from 'vitest'
import { DerivationQueue } from './derivation-queue.ts'

const gate = () => {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

test('so many run at once, so many wait in order, the rest is refused and not run', async () => {
  const queue = new DerivationQueue({ maxRunning: 1, maxWaiting: 2 })
  const gates = [gate(), gate(), gate(), gate()]
  const started: number[] = []
  const runs = gates.map(({ passed }, at) =>
    queue.run(async () => {
      started.push(at)
      await passed
      return at
    }),
  )
  expect(runs[3]).toBeUndefined()
  expect(started).toEqual([0])
  expect(queue.length).toBe(3)

  gates[0]?.open()
  expect(await runs[0]).toBe(0)
  gates[1]?.open()
  expect(await runs[1]).toBe(1)
  gates[2]?.open()
  expect(await runs[2]).toBe(2)
  expect(started).toEqual([0, 1, 2])
  expect(queue.length).toBe(0)
})

test('a task that fails gives its place to the next, and its error to its caller', async () => {
  const queue = new DerivationQueue({ maxRunning: 1, maxWaiting: 1 })
  const failing = queue.run(() => Promise.reject(new Error('no memory')))
  const next = queue.run(() => Promise.resolve('done'))
  await expect(failing).rejects.toThrow('no memory')
  expect(await next).toBe('done')
  expect(queue.length).toBe(0)
})
