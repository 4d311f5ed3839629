import type { Redis } from 'ioredis'
import type { Count, Counted, Counter } from './counters.ts'

/** Redis runs a script as one command: nobody else's comes between looking and raising. */
const SCRIPT = `
  local counts, refused = {}, false
  for index, key in ipairs(KEYS) do
    local used, left = tonumber(redis.call('get', key) or 0), redis.call('pttl', key)
    local length = tonumber(ARGV[2 * index + 1])
    if left <= 0 then used, left = 0, length end
    counts[index] = { used, left }
    refused = refused or used >= tonumber(ARGV[2 * index])
  end
  if not refused and ARGV[1] == '1' then
    for index, key in ipairs(KEYS) do
      local count = counts[index]
      if count[1] == 0 then redis.call('set', key, 1, 'px', count[2]) else redis.call('incr', key) end
      count[1] = count[1] + 1
    end
  end
  return { refused and 1 or 0, counts }`

type Reply = [refused: 0 | 1, counts: [used: number, left: number][]]

/** Shared by all processes that use the same names, in one round trip. */
export async function countInRedis(
  redis: Redis,
  namespace: string,
  counters: readonly Counter[],
  by: 0 | 1,
): Promise<Counted> {
  const { countPlinthLimits: run } = withScript(redis)
  const keys = counters.map(({ key }) => `${namespace}:limit:${key}`)
  const limits = counters.flatMap(({ quota, seconds }) => [quota, seconds * 1000])
  const [refused, counts] = await run.call(redis, keys.length, ...keys, by, ...limits)
  return { refused: refused === 1, counts: counts.map(countOf) }
}

const countOf = ([used, resets_in_ms]: [number, number]): Count => ({ used, resets_in_ms })

type WithScript = Redis & { countPlinthLimits(...values: (string | number)[]): Promise<Reply> }

/** Sent by its hash: the text goes over the wire once, and again where Redis has forgotten it. */
function withScript(redis: Redis): WithScript {
  if (!('countPlinthLimits' in redis)) redis.defineCommand('countPlinthLimits', { lua: SCRIPT })
  return redis as WithScript
}
