import { describe, expect, test } from 'vitest'
import { QueueFullError, WorkQueue } from './work-queue.ts'

const gate = () => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

describe('WorkQueue', () => {
  test('runs the tasks of one key in order, whatever time they take', async () => {
    const queue = new WorkQueue(10)
    const first = gate()
    const seen: string[] = []
    const slow = queue.run('a', async () => {
      await first.opened
      seen.push('slow')
      return 1
    })
    const quick = queue.run('a', () => {
      seen.push('quick')
      return 2
    })
    await queue.run('b', () => void seen.push('other key'))
    first.open()
    expect(await Promise.all([slow, quick])).toEqual([1, 2])
    expect(seen).toEqual(['other key', 'slow', 'quick'])
  })

  test('starts the first task of a key at once', () => {
    const seen: string[] = []
    void new WorkQueue(1).run('a', () => void seen.push('ran'))
    expect(seen).toEqual(['ran'])
  })

  test('goes on after a failure, which only its caller hears of', async () => {
    const queue = new WorkQueue(10)
    const failing = queue.run('a', () => {
      throw new Error('no')
    })
    const next = queue.run('a', () => 'yes')
    await expect(failing).rejects.toThrow('no')
    expect(await next).toBe('yes')
  })

  test('refuses what is too much, and takes more when there is room again', async () => {
    const queue = new WorkQueue(2)
    const first = gate()
    const running = queue.run('a', () => first.opened)
    const waiting = [queue.run('a', () => 1), queue.run('a', () => 2)]
    await expect(queue.run('a', () => 3)).rejects.toThrow(QueueFullError)
    expect(await queue.run('b', () => 4)).toBe(4)
    first.open()
    await running
    expect(await Promise.all(waiting)).toEqual([1, 2])
    expect(await queue.run('a', () => 5)).toBe(5)
  })

  test('keeps nothing of a key that has no work, and tells when there is none', async () => {
    const queue = new WorkQueue(2)
    const first = gate()
    void queue.run('a', () => first.opened)
    void queue.run('b', () => undefined)
    let isIdle = false
    const idle = queue.idle().then(() => {
      isIdle = true
    })
    await Promise.resolve()
    expect(isIdle).toBe(false)
    first.open()
    await idle
    expect(queue.size).toBe(0)
    await queue.idle()
  })
})
