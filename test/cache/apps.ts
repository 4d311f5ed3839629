import type { Test } from 'tap'
import { connectPostgres } from '../../src/db/postgres.ts'
import { connectRedis } from '../../src/redis/connect.ts'
import { createServerDatabase, serverUrl } from '../database.ts'
import { build, testConfig } from '../helper.ts'
import { until } from './watched.ts'

const redisUrl = process.env.TEST_REDIS_URL

export const needsPostgres = {
  skip: serverUrl === undefined && 'it takes several processes, which need Postgres',
}
export const needsRedis = {
  skip: (serverUrl === undefined || redisUrl === undefined) && 'it takes Postgres and Redis',
}

/** So many services, as different as processes are, on one database of their own. */
export async function appsOn(t: Test, count: number, { shared }: { shared: boolean }) {
  const url = await createServerDatabase(t)
  return Promise.all(
    Array.from({ length: count }, async () => {
      const config = testConfig(shared ? { REDIS_URL: String(redisUrl) } : {})
      const database = connectPostgres(url, config)
      const redis = connectRedis(config)
      const app = await build(t, { database, redis })
      t.teardown(async () => {
        await app.close()
        redis?.disconnect()
        await database.close()
      })
      if (shared) await until(() => app.sharedRedis?.isThere)
      return app
    }),
  )
}
