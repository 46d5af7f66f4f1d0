import { expect, test } from 'vitest'
import { StorageError } from '../storage-error.ts'
import { hostileKeys, onStage, type Subject, testKept } from './subject.ts'

type Contact = { readonly name: string; readonly groups?: readonly string[] }

/** Proves that a driver keeps documents as the shape promises. */
export const documentsContract = (subject: Subject): void =>
  onStage(subject, 'documents', (stage) => {
    test('a document is read back, replaced and deleted', async () => {
      const contacts = stage.driver.documents<Contact>('roster/contacts')
      await contacts.put('romeo', 'juliet', { name: 'Juliet', groups: ['Capulet', '\ud800 half'] })
      expect(await contacts.get('romeo', 'juliet')).toEqual({ name: 'Juliet', groups: ['Capulet', '\ud800 half'] })
      await contacts.put('romeo', 'juliet', { name: 'My Juliet' })
      expect(await contacts.get('romeo', 'juliet')).toEqual({ name: 'My Juliet' })
      expect(await contacts.delete('romeo', 'juliet')).toBe(true)
      expect(await contacts.delete('romeo', 'juliet')).toBe(false)
      expect(await contacts.get('romeo', 'juliet')).toBeUndefined()
      expect(await contacts.getRevised('romeo', 'juliet')).toBeUndefined()
    })

    test('stores, owners and keys do not mix, however strange their names', async () => {
      const stores = ['a/b', 'a/c'].map((name) => stage.driver.documents<string>(name))
      const writes: Promise<void>[] = []
      for (const [index, store] of stores.entries())
        for (const owner of hostileKeys)
          for (const key of hostileKeys) writes.push(store.put(owner, key, `${index} ${owner} ${key}`))
      await Promise.all(writes)
      for (const [index, store] of stores.entries())
        for (const owner of hostileKeys)
          for (const key of hostileKeys) expect(await store.get(owner, key)).toBe(`${index} ${owner} ${key}`)

      await stores[0]?.deleteOwner('')
      expect(await stores[0]?.list('')).toEqual([])
      expect(await stores[0]?.list('/')).toHaveLength(hostileKeys.length)
      expect(await stores[1]?.list('')).toHaveLength(hostileKeys.length)
    })

    test('the same name opens the same documents', async () => {
      await stage.driver.documents<number>('m/s').put('o', 'k', 1)
      expect(await stage.driver.documents<number>('m/s').get('o', 'k')).toBe(1)
    })

    test('a key with half a surrogate pair, or a value JSON cannot hold, is refused', async () => {
      const store = stage.driver.documents<unknown>('m/s')
      await expect(store.put('o', '\ud800', 1)).rejects.toThrow(StorageError)
      await expect(store.put('\udc00', 'k', 1)).rejects.toThrow(StorageError)
      await expect(store.put('o', 'k', undefined)).rejects.toThrow(StorageError)
      await expect(
        store.putAll('o', [
          { key: 'ok', value: 1 },
          { key: '\ud800', value: 2 },
        ]),
      ).rejects.toThrow(StorageError)
      expect(await store.list('o')).toEqual([])
    })

    test('a list is in code point order, after a key, at most so many', async () => {
      const store = stage.driver.documents<number>('m/s')
      const ordered = ['', '/', 'A', 'a', 'a\u0000', 'aa', 'é', '\uffee', '\u{1f339}']
      await Promise.all(ordered.toReversed().map((key, value) => store.put('o', key, value)))
      const keys = async (page?: Parameters<typeof store.list>[1]) => (await store.list('o', page)).map(({ key }) => key)
      expect(await keys()).toEqual(ordered)
      expect(await keys({ after: '' })).toEqual(ordered.slice(1))
      expect(await keys({ after: 'a', limit: 3 })).toEqual(ordered.slice(4, 7))
      expect(await keys({ after: 'b', limit: 1 })).toEqual(['é'])
      expect(await keys({ limit: 0 })).toEqual([])
      expect(await store.list('o', { limit: 1 })).toEqual([await store.getRevised('o', '')])
    })

    test('putIf writes only over the revision it was shown', async () => {
      const store = stage.driver.documents<string>('m/s')
      expect(await store.putIf('o', 'k', 'first', undefined)).toBe(true)
      expect(await store.putIf('o', 'k', 'again', undefined)).toBe(false)
      const first = await store.getRevised('o', 'k')
      expect(first?.value).toBe('first')
      expect(await store.putIf('o', 'k', 'second', first?.revision)).toBe(true)
      expect(await store.putIf('o', 'k', 'third', first?.revision)).toBe(false)
      expect(await store.get('o', 'k')).toBe('second')
      expect(await store.putIf('o', 'other', 'x', first?.revision)).toBe(false)
      expect(await store.get('o', 'other')).toBeUndefined()
    })

    test('a revision does not come back when a document is deleted and made again', async () => {
      const store = stage.driver.documents<string>('m/s')
      await store.put('o', 'k', 'first')
      const first = await store.getRevised('o', 'k')
      await store.delete('o', 'k')
      await store.put('o', 'k', 'second')
      expect(await store.putIf('o', 'k', 'third', first?.revision)).toBe(false)
    })

    test('of many who compare and set at once, each round has one winner', async () => {
      const store = stage.driver.documents<number>('m/s')
      await store.put('o', 'counter', 0)
      const increment = async (): Promise<void> => {
        const current = await store.getRevised('o', 'counter')
        if (!(await store.putIf('o', 'counter', (current?.value ?? 0) + 1, current?.revision))) await increment()
      }
      await Promise.all(Array.from({ length: 12 }, increment))
      expect(await store.get('o', 'counter')).toBe(12)
    })

    test('putAll writes and deletes together', async () => {
      const store = stage.driver.documents<number>('m/s')
      await store.put('o', 'old', 1)
      await store.putAll('o', [
        { key: 'a', value: 1 },
        { key: 'old', value: undefined },
        { key: 'b', value: 2 },
        { key: 'a', value: 3 },
      ])
      expect((await store.list('o')).map(({ key, value }) => [key, value])).toEqual([
        ['a', 3],
        ['b', 2],
      ])
      await store.putAll('o', [])
    })

    test('a read sees the write called before it, though nobody waited', async () => {
      const store = stage.driver.documents<number>('m/s')
      const written = store.put('o', 'k', 1)
      const first = store.get('o', 'k')
      const rewritten = store.put('o', 'k', 2)
      const listed = store.list('o')
      const deleted = store.delete('o', 'k')
      expect(await first).toBe(1)
      expect((await listed).map(({ value }) => value)).toEqual([2])
      expect(await deleted).toBe(true)
      await Promise.all([written, rewritten])
    })

    test('what was read or written shares nothing with the store', async () => {
      const store = stage.driver.documents<{ list: number[] }>('m/s')
      const value = { list: [1] }
      const written = store.put('o', 'k', value)
      value.list.push(2)
      await written
      const read = await store.get('o', 'k')
      read?.list.push(3)
      expect(await store.get('o', 'k')).toEqual({ list: [1] })
    })

    test('a large document is kept whole', async () => {
      const store = stage.driver.documents<string>('m/s')
      const photo = 'photo'.repeat(200_000)
      await store.put('o', 'photo', photo)
      expect(await store.get('o', 'photo')).toBe(photo)
    })

    testKept(subject)('documents and revisions are there after the database was closed and opened', async () => {
      const before = stage.driver.documents<string>('m/s')
      await before.put('o', 'k', 'kept')
      const revised = await before.getRevised('o', 'k')
      const after = (await stage.reopen()).documents<string>('m/s')
      expect(await after.getRevised('o', 'k')).toEqual(revised)
      expect(await after.putIf('o', 'k', 'next', revised?.revision)).toBe(true)
    })
  })
