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
  const once = of('short', 1)
  const count = (by: 0 | 1) => countInRedis(redis, 'plinth', [once], by)
  t.equal((await count(1)).refused, false)
  const [key = '', ...others] = await redis.keys('*limit:short*')
  t.strictSame(others, [])
  const left = await redis.pttl(key)
  t.ok(left > 0 && left <= 60_000)
  const { refused, counts } = await count(1)
  t.equal(refused, true)
  const [{ resets_in_ms = 0 } = {}] = counts
  t.ok(resets_in_ms > 0 && resets_in_ms <= left, 'who is refused does not make it longer')
  t.ok((await redis.pttl(key)) <= resets_in_ms)

  await redis.pexpire(key, 1)
  while (await redis.exists(key));
  t.equal((await count(0)).refused, false)
  t.strictSame(await redis.keys('*limit:*'), [], 'looking makes no key')
  t.strictSame(await count(1), { refused: false, counts: [{ used: 1, resets_in_ms: 60_000 }] })
  await redis.persist(key)
  t.equal((await count(1)).refused, false, 'a key that would stay for ever begins anew')
  t.ok((await redis.pttl(key)) > 0)
})

test('Redis may forget the script', { skip: withoutRedis }, async t => {
  const redis = (await ownRedis(t)).connect()
  await new Promise(resolve => redis.once('ready', resolve))
  await countInRedis(redis, 'plinth', [of('script', 5)], 1)
  await redis.script('FLUSH')
  t.equal((await countInRedis(redis, 'plinth', [of('script', 5)], 1)).counts[0]?.used, 2)
})
