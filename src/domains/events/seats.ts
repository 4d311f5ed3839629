import { RateLimited, Unavailable } from '../../lib/problems.ts'

/** What a process may hold; each takes about 30 kB. */
const MOST_STREAMS = 5_000

/** How many streams are open, of each user and of all. */
export function createSeats(per_user: number, at_all = MOST_STREAMS) {
  const taken = new Map<string, number>()
  let total = 0

  return {
    get total() {
      return total
    },
    /** Returns what gives the seat back, once, however often it is called. */
    take(user_id: string): () => void {
      const own = taken.get(user_id) ?? 0
      if (own >= per_user)
        throw new RateLimited(`You have ${per_user} streams open; close one of them first.`)
      if (total >= at_all) throw new Unavailable('All streams are in use.')
      taken.set(user_id, own + 1)
      total++
      let held = true
      return () => {
        if (!held) return
        held = false
        giveBack(user_id)
      }
    },
  }

  function giveBack(user_id: string) {
    total--
    const rest = (taken.get(user_id) ?? 1) - 1
    if (rest === 0) taken.delete(user_id)
    else taken.set(user_id, rest)
  }
}
