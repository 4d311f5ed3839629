import type { Database } from '../db/types.ts'
import { CHANNEL } from '../events/committed.ts'
import { type Generations, generationsInMemory } from './generations.ts'
import { changedSubjects, type Kept } from './kind.ts'

/**
 * For several processes without Redis: they hear of what the others change from the database, some milliseconds after its
 * commit. That will do for who only reads. Whoever may have made the change must not be answered by it, and what belongs
 * to an owner, who is that somebody, is not kept.
 */
export function announcedGenerations(database: Database, kept: readonly Kept[]): Generations {
  const known = generationsInMemory()
  const ofAnybody = kept.filter(({ of }) => of === 'anybody')
  const names = new Set(ofAnybody.map(({ name }) => name))
  const heard = (type: string) => changedSubjects(ofAnybody, { type, owner_id: null }).forEach(known.renew)
  /** Not before somebody asks, because it takes a connection. */
  let following: ReturnType<Database['follow']> | undefined

  return {
    ...known,
    current(subject) {
      if (!names.has(subject)) return undefined
      following ??= database.follow(CHANNEL, { heard, missed: known.renewAll })
      return following.isCurrent() ? known.current(subject) : undefined
    },
    async end() {
      await following?.end()
    },
  }
}
