import { afterAll, test } from 'vitest'
import { tellTheSameStory } from '../contract/agreement.ts'
import { mongoServer } from '../contract/mongodb-server.ts'
import { MongoDriver } from './driver.ts'

const server = await mongoServer()
afterAll(() => server?.stop())

test.skipIf(server === undefined)(
  `${server?.name ?? 'a MongoDB that is not here (sh conformance/install.sh)'} and memory tell the same story, whatever is done to them`,
  async () => {
    const options = { url: server?.newUrl() ?? '', durability: 'full', nowMs: () => 0 } as const
    let mongo = await MongoDriver.open(options)
    const subject = {
      get driver() {
        return mongo
      },
      async reopen() {
        await mongo.close()
        mongo = await MongoDriver.open(options)
      },
    }
    await tellTheSameStory(subject, { numRuns: 60, seed: 42 })
    await mongo.close()
  },
  120_000,
)
