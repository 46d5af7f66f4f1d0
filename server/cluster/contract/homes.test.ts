import { afterAll, describe, test } from 'vitest'
import { homesContract } from './homes.ts'
import { localHomesSubject, redisHomesSubject } from './homes-subjects.ts'
import { hasRedis, redisCluster, redisServer } from './redis-server.ts'

homesContract(localHomesSubject)

if (hasRedis) {
  const [single, cluster] = [await redisServer(), await redisCluster()]
  afterAll(() => Promise.all([single.stop(), cluster.stop()]))
  homesContract(redisHomesSubject('redis', single))
  homesContract(redisHomesSubject('redis cluster', cluster))
} else describe('homes: redis', () => test.skip('no redis-server is here: sh conformance/install.sh gets one', () => {}))
