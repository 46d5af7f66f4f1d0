import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FIGURES, MEASURED } from './measured.ts'
import { batchedOf, costEach, DEFAULT_USAGE, messageUs, planFor, togetherAt, type Usage } from './model.ts'

const some = { numRuns: 200 }
const usages = fc.record({
  accounts: fc.integer({ min: 1_000, max: 1_000_000_000 }),
  online: fc.double({ min: 0.01, max: 1, noNaN: true }),
  messagesPerDay: fc.integer({ min: 1, max: 500 }),
  contacts: fc.integer({ min: 0, max: 500 }),
  loginsPerDay: fc.integer({ min: 1, max: 24 }),
})
const planOf = (usage: Partial<Usage>) => planFor({ ...DEFAULT_USAGE, ...usage }, MEASURED)

describe('batches', () => {
  test('the two parts give back what they were taken from', () => {
    const cost = batchedOf(136, { count: 100, each: 8.1 })
    expect(costEach(cost, 1)).toBeCloseTo(136)
    expect(costEach(cost, 100)).toBeCloseTo(8.1)
  })
  test('1,000 a second that wait for 5 ms go five together, and one waits for nobody', () => {
    expect(togetherAt(1_000, 5)).toBe(5)
    expect(togetherAt(10, 5)).toBe(1)
  })
  test('what decision 0011 measured with ten together lies between', () =>
    expect(costEach(MEASURED.store, 10)).toBeCloseTo(19.6, 0))
})

describe('units', () => {
  test('a million accounts with 86.4 messages a day and no peak write 1,000 a second', () =>
    expect(planOf({ accounts: 1e6, messagesPerDay: 86.4, peak: 1 }).messagesPerSecond).toBeCloseTo(1_000))
  test('1,048,576 sessions of 1 KiB are 1 GiB', () => {
    const usage = { ...DEFAULT_USAGE, accounts: 2 ** 20, online: 1, devices: 1, tls: 0 }
    expect(planFor(usage, { ...MEASURED, plainKib: 1 }).memoryGib).toBeCloseTo(1)
  })
  test('a core is a million microseconds a second', () => {
    const { cores, messagesPerSecond, messageUs: each } = planOf({ accounts: 1e6 })
    expect(cores.messages).toBeCloseTo((messagesPerSecond * each) / 1e6)
  })
  test('a message of 512 bytes beside its stanza, kept twice by each of three, is 3 KiB', () => {
    const usage = { ...DEFAULT_USAGE, accounts: 2 ** 20, messagesPerDay: 1, stanzaBytes: 0, replicas: 3, retentionDays: 2 }
    const { gibPerDay, gibKept } = planFor(usage, { ...MEASURED, documentBytes: 512 }).database
    expect(gibPerDay).toBeCloseTo(3)
    expect(gibKept).toBeCloseTo(6)
  })
})

describe('plans', () => {
  test('the model gives back the rows that it was made from', () => {
    const { oneNode, twoNodes } = MEASURED.clusterRows
    expect(messageUs(MEASURED, { crossing: 0, ...oneNode })).toBeCloseTo(oneNode.us)
    expect(messageUs(MEASURED, { crossing: 1, ...twoNodes })).toBeCloseTo(twoNodes.us)
  })
  test('are enough, and no figure is negative or lost', () =>
    fc.assert(
      fc.property(usages, (usage) => {
        const { nodes, cores, memoryGib, limits, database, redis, busMbit } = planOf(usage)
        const used = Object.values(cores).reduce((sum, each) => sum + each, 0)
        expect(used / nodes).toBeLessThanOrEqual(DEFAULT_USAGE.utilization + 1e-9)
        expect(memoryGib / nodes).toBeLessThanOrEqual(DEFAULT_USAGE.nodeGib + 1e-9)
        const all = [
          ...Object.values(cores),
          ...limits.map((limit) => limit.used),
          ...Object.values(database),
          ...Object.values(redis),
        ]
        for (const figure of [...all, busMbit]) expect(figure).toBeGreaterThanOrEqual(0)
      }),
      some,
    ))
  test('more accounts never take fewer nodes, shards or gigabytes', () =>
    fc.assert(
      fc.property(usages, fc.integer({ min: 2, max: 20 }), (usage, times) => {
        const [less, more] = [planOf(usage), planOf({ ...usage, accounts: usage.accounts * times })]
        expect(more.nodes).toBeGreaterThanOrEqual(less.nodes)
        expect(more.database.shards).toBeGreaterThanOrEqual(less.database.shards)
        expect(more.database.gibKept).toBeGreaterThan(less.database.gibKept)
      }),
      some,
    ))
  test('every figure says where it was measured', () => {
    for (const { value, unit, source } of Object.values(FIGURES)) {
      expect(value).toBeGreaterThan(0)
      expect(unit).not.toBe('')
      expect(source.from).not.toBe('')
      expect(source.date).toMatch(/^\d{4}-\d\d-\d\d$/)
    }
  })
})
