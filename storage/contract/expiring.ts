import { expect, test } from 'vitest'
import { hostileKeys, onStage, type Subject, testKept } from './subject.ts'

/** Proves that a driver keeps expiring values as the shape promises. */
export const expiringContract = (subject: Subject): void =>
  onStage(subject, 'expiring', (stage) => {
    test('a value is there until its time and not at it', async () => {
      const tokens = stage.driver.expiring<string>('fast/tokens')
      await tokens.put('k', 'secret', stage.nowMs + 10)
      stage.nowMs += 9
      expect(await tokens.get('k')).toBe('secret')
      stage.nowMs += 1
      expect(await tokens.get('k')).toBeUndefined()
      expect(await tokens.take('k')).toBeUndefined()
      expect(await tokens.delete('k')).toBe(false)
      expect(await tokens.list('')).toEqual([])
    })

    test('a value put again has its new time', async () => {
      const tokens = stage.driver.expiring<number>('m/s')
      await tokens.put('k', 1, stage.nowMs + 10)
      await tokens.put('k', 2, stage.nowMs + 100)
      stage.nowMs += 50
      expect(await tokens.get('k')).toBe(2)
    })

    test('of two takers one gets it', async () => {
      const tokens = stage.driver.expiring<string>('m/s')
      await tokens.put('k', 'once', stage.nowMs + 10)
      expect(await Promise.all([tokens.take('k'), tokens.take('k')])).toEqual(['once', undefined])
      expect(await tokens.get('k')).toBeUndefined()
    })

    test('a deleted value is gone once', async () => {
      const tokens = stage.driver.expiring<string>('m/s')
      await tokens.put('k', 'v', stage.nowMs + 10)
      expect(await tokens.delete('k')).toBe(true)
      expect(await tokens.delete('k')).toBe(false)
    })

    test('a list holds the living keys of a prefix in order, and takes no character of it for a pattern', async () => {
      const tokens = stage.driver.expiring<number>('m/s')
      for (const [value, key] of ['p%b', 'p%a', 'p%', 'pxa', 'p', 'p%\u{1f339}', 'p%\uffee'].entries())
        await tokens.put(key, value, stage.nowMs + 10)
      await tokens.put('p%0', 9, stage.nowMs + 5)
      stage.nowMs += 5
      expect((await tokens.list('p%')).map(({ key }) => key)).toEqual(['p%', 'p%a', 'p%b', 'p%\uffee', 'p%\u{1f339}'])
      expect(await tokens.list('pxa')).toEqual([{ key: 'pxa', value: 3, expiresAtMs: stage.nowMs + 5 }])
      expect(await tokens.list('')).toHaveLength(7)
    })

    test('stores and strange keys do not mix', async () => {
      const [one, two] = [stage.driver.expiring<string>('m/1'), stage.driver.expiring<string>('m/2')]
      await Promise.all(hostileKeys.map((key) => one.put(key, key, stage.nowMs + 10)))
      for (const key of hostileKeys) {
        expect(await one.get(key)).toBe(key)
        expect(await two.get(key)).toBeUndefined()
      }
    })

    testKept(subject)('values and their times are there after the database was closed and opened', async () => {
      await stage.driver.expiring<string>('m/s').put('k', 'v', stage.nowMs + 10)
      const tokens = (await stage.reopen()).expiring<string>('m/s')
      expect(await tokens.get('k')).toBe('v')
      stage.nowMs += 10
      expect(await tokens.get('k')).toBeUndefined()
    })
  })
