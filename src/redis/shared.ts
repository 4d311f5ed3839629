import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'

/** Redis as something that is nice to have: whoever uses it has another way for when it is away. */
export interface SharedRedis {
  /** Whether it is asked at all: not from a command that failed, or several in a row that were late, until it answers. */
  readonly isThere: boolean
  /** Throws when it is not there, or gives no answer in time. No command is waited for longer than 50 ms. */
  ask<Result>(command: (redis: Redis) => Promise<Result>): Promise<Result>
  end(): void
}

/** Longer than this, asking Redis costs more than what it shares is worth. */
const PATIENCE_MS = 50

/** A machine that is busy for a moment is late now and then; sharing is not given up for that. */
const LATE_IN_A_ROW = 3

const LOOK_AGAIN_MS = 1_000

/** By a write: one that takes none, because it is full, a replica or has no replica, answers a ping. */
const LOOK = ['plinth:look', 1, 'PX', LOOK_AGAIN_MS] as const

export function createSharedRedis(redis: Redis, logger: Logger, metrics: Registry): SharedRedis {
  const up = new Gauge({
    name: 'plinth_redis_up',
    help: 'Whether Redis answers in time. While it does not, limits and caches are those of each process.',
    registers: [metrics],
  })
  const losses = new Counter({
    name: 'plinth_redis_losses_total',
    help: 'How often Redis went away, or was too slow.',
    registers: [metrics],
  })
  let isThere = false
  let late = 0
  /** So that a start, when it is about to connect, is no loss. */
  let toldAway = false
  let ended = false

  const looks = setInterval(look, LOOK_AGAIN_MS)
  looks.unref()
  redis.on('ready', look)
  redis.on('close', () => lose(new Error('The connection was closed.')))
  if (redis.status === 'ready') come()

  return {
    get isThere() {
      return isThere
    },
    async ask(command) {
      if (!isThere) throw new Error('Redis is away.')
      try {
        const answer = await inTime(command(redis))
        late = 0
        return answer
      } catch (error) {
        if (!(error instanceof Late) || ++late >= LATE_IN_A_ROW) lose(error)
        throw error
      }
    },
    end() {
      ended = true
      clearInterval(looks)
    },
  }

  async function look() {
    if (isThere || ended) return
    try {
      await inTime(redis.set(...LOOK))
      come()
    } catch (error) {
      tellAway(error)
    }
  }

  function come() {
    if (isThere || ended) return
    isThere = true
    late = 0
    up.set(1)
    if (toldAway) logger.info('Redis is back: limits and caches are shared again')
    toldAway = false
  }

  function lose(error: unknown) {
    if (!isThere || ended) return
    isThere = false
    up.set(0)
    losses.inc()
    tellAway(error)
  }

  function tellAway(error: unknown) {
    if (toldAway || ended) return
    toldAway = true
    logger.warn({ err: error }, 'Redis is away or slow: each process has limits and caches of its own')
  }
}

class Late extends Error {}

function inTime<Result>(answer: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      // Its answer may be there already, and only we were busy: it is read before this is called.
      setImmediate(reject, new Late(`No answer within ${PATIENCE_MS} ms.`))
    }, PATIENCE_MS)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
