import { expect, test } from 'vitest'
import { Order } from './order.ts'

/** Operations that end when told, and the order in which they began. */
const stage = () => {
  const order = new Order()
  const began: string[] = []
  const ends = new Map<string, () => void>()
  const run = (name: string, key: string | undefined, isWrite: boolean, scope = 'scope') =>
    order.run(scope, key, isWrite, () => {
      began.push(name)
      return new Promise<void>((resolve, reject) =>
        ends.set(name, name.startsWith('fails') ? () => reject(new Error(name)) : resolve),
      )
    })
  const end = async (name: string) => {
    ends.get(name)?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { order, began, run, end }
}

test('operations on other keys or scopes, and reads, go side by side', async () => {
  const { began, run, end, order } = stage()
  const all = [run('a', '1', true), run('b', '2', true), run('c', '3', false), run('d', '3', false), run('e', '1', true, 'other')]
  expect(began).toEqual(['a', 'b', 'c', 'd', 'e'])
  for (const name of began) await end(name)
  await Promise.all(all)
  await order.settled()
})

test('a write of the same key waits, and what is called later waits for it, also when one fails', async () => {
  const { began, run, end } = stage()
  const failed = run('fails', '1', true).catch(() => undefined)
  const rest = [run('read', '1', false), run('write', '1', true), run('after', '1', false)]
  expect(began).toEqual(['fails'])
  await end('fails')
  expect(began).toEqual(['fails', 'read'])
  await end('read')
  expect(began).toEqual(['fails', 'read', 'write'])
  await end('write')
  await end('after')
  await Promise.all([failed, ...rest])
})

test('an operation on all keys waits for every write, and every write for it', async () => {
  const { began, run, end } = stage()
  const all = [
    run('put', '1', true),
    run('get', '2', false),
    run('list', undefined, false),
    run('late', '2', true),
    run('look', '3', false),
  ]
  expect(began).toEqual(['put', 'get', 'look'])
  await end('put')
  expect(began).toEqual(['put', 'get', 'look', 'list'])
  await end('get')
  expect(began).not.toContain('late')
  await end('list')
  expect(began).toContain('late')
  await end('late')
  await end('look')
  await Promise.all(all)
})
