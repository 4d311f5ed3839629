import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, type Outcome } from './http.ts'

interface Load {
  port: number
  /** Taken in turn by every connection. */
  paths: readonly string[]
  connections: number
  /** Otherwise every request has a connection of its own. */
  keepAlive?: boolean
}

/** After a failure, so that a port where nobody listens is not asked ten thousand times a second. */
const PAUSE_AFTER_FAILURE_MS = 10

/** Keeps so many connections busy, one request at a time on each, and remembers what became of every one. */
export function startLoad({ port, paths, connections, keepAlive = true }: Load) {
  const agent = new Agent({ keepAlive, maxSockets: connections })
  const outcomes: Outcome[] = []
  let running = true
  const loops = Array.from({ length: connections }, (_, index) => loop(index))

  return {
    outcomes: outcomes as readonly Outcome[],
    /** Lets the requests under way end, and counts them too. */
    async stop(): Promise<readonly Outcome[]> {
      running = false
      await Promise.all(loops)
      agent.destroy()
      return outcomes
    },
  }

  async function loop(start: number) {
    for (let turn = start; running; turn++) {
      const path = paths[turn % paths.length] ?? '/'
      const outcome = await ask({ port, path, agent })
      outcomes.push(outcome)
      if (outcome.result !== '200') await sleep(PAUSE_AFTER_FAILURE_MS)
    }
  }
}

/** How many sockets were opened, and how many requests went over one that had carried another before. */
export function socketUse(outcomes: readonly Outcome[]) {
  const opened = outcomes.filter(outcome => !outcome.reusedSocket).length
  return { opened, onReused: outcomes.length - opened }
}
