import { test } from 'tap'
import type { Counter } from '../../src/rate-limits/counters.ts'
import { countInRedis } from '../../src/rate-limits/redis-counters.ts'
import { ownRedis, withoutRedis } from '../redis-server.ts'

const of = (name: string, quota: number, seconds = 60): Counter => ({
  key: `${name}:${seconds}`,
  quota,
  seconds,
})

test('two connections share one count exactly', { skip: withoutRedis }, async t => {
  const server = await ownRedis(t)
  const [one, other] = [server.connect(), server.connect()]
  await Promise.all([one, other].map(redis => new Promise(resolve => redis.once('ready', resolve))))
  const counters = [of('shared', 100), of('shared', 150, 3600)]
  const all = await Promise.all(
    Array.from({ length: 300 }, (_, turn) => countInRedis(turn % 2 ? one : other, 'plinth', counters, 1)),
  )
  t.equal(all.filter(({ refused }) => !refused).length, 100)
  const { counts } = await countInRedis(one, 'plinth', counters, 0)
  t.strictSame(
    counts.map(({ used }) => used),
    [100, 100],
    'who was refused by one has used up none',
  )
})

test('a window ends by itself, and its key with it', { skip: withoutRedis }, async t => {
  const redis = (await ownRedis(t)).connect()
  await new Promise(resolve => redis.once('ready', resolve))
  const second = of('short', 1, 1)
  t.equal((await countInRedis(redis, 'plinth', [second], 1)).refused, false)
  const { refused, counts } = await countInRedis(redis, 'plinth', [second], 1)
  t.equal(refused, true)
  const [{ resets_in_ms = 0 } = {}] = counts
  t.ok(resets_in_ms > 0 && resets_in_ms <= 1000)
  while ((await countInRedis(redis, 'plinth', [second], 0)).refused);
  await countInRedis(redis, 'plinth', [of('looked at', 1)], 0)
  t.strictSame(await redis.keys('*looked at*'), [], 'looking makes no key')
  t.strictSame(await countInRedis(redis, 'plinth', [second], 1), {
    refused: false,
    counts: [{ used: 1, resets_in_ms: 1000 }],
  })
  await redis.persist('plinth:limit:short:1')
  const mended = await countInRedis(redis, 'plinth', [second], 1)
  t.equal(mended.refused, false, 'a key that would stay for ever begins anew')
  t.ok((await redis.pttl('plinth:limit:short:1')) > 0)
})

test('Redis may forget the script', { skip: withoutRedis }, async t => {
  const redis = (await ownRedis(t)).connect()
  await new Promise(resolve => redis.once('ready', resolve))
  await countInRedis(redis, 'plinth', [of('script', 5)], 1)
  await redis.script('FLUSH')
  t.equal((await countInRedis(redis, 'plinth', [of('script', 5)], 1)).counts[0]?.used, 2)
})
