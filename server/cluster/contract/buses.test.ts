import { afterAll, describe, test } from 'vitest'
import { busContract } from './bus.ts'
import { redisBusSubject, unixBusSubject } from './bus-subjects.ts'
import { hasRedis, redisCluster, redisServer } from './redis-server.ts'

busContract(unixBusSubject)

if (hasRedis) {
  const [single, cluster] = [await redisServer(), await redisCluster()]
  afterAll(() => Promise.all([single.stop(), cluster.stop()]))
  busContract(redisBusSubject('redis', single))
  busContract(redisBusSubject('redis cluster', cluster))
} else describe('bus: redis', () => test.skip('no redis-server is here: sh conformance/install.sh gets one', () => {}))
