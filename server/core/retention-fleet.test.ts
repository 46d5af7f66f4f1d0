import { expect, vi } from 'vitest'
import { conversation } from '#server/testing/conversation.ts'

const config = { ledger: { retention: '1d' } }

conversation(
  'DESIGN P6: of several nodes one removes what is too old, and another does when that one is lost',
  { config, nodes: 2, carriers: ['memory'] },
  async ({ clock, driver, createAccount, loses, settle }) => {
    for (const name of ['romeo', 'juliet', 'tybalt']) await createAccount(`${name}@verona.example`)
    const expire = vi.spyOn(driver.log, 'expire')
    const round = async (): Promise<readonly string[]> => {
      expire.mockClear()
      for (const wait of ['30m', '30m', '1s', '1s']) {
        clock.advance(wait)
        await settle()
      }
      return expire.mock.calls.map(([account]) => account).sort()
    }
    const everybody = ['juliet@verona.example', 'romeo@verona.example', 'tybalt@verona.example']
    expect(await round()).toEqual(everybody)
    expect(await round()).toEqual(everybody)
    await loses(0)
    expect(await round()).toEqual(everybody)
  },
)
