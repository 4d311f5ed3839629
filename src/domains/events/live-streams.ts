import type { EventKey } from '../../events/read.ts'
import type { EventStream } from './event-stream.ts'

/** Those who get events as they are read, by owner: a thousand clients cost an event that is nobody's one look. */
export function createLiveStreams() {
  const byOwner = new Map<string | null, Set<EventStream>>()

  return {
    add(stream: EventStream) {
      const { owner_id } = stream.subscription
      const streams = byOwner.get(owner_id)
      if (streams === undefined) byOwner.set(owner_id, new Set([stream]))
      else streams.add(stream)
    },
    delete(stream: EventStream) {
      const { owner_id } = stream.subscription
      const streams = byOwner.get(owner_id)
      streams?.delete(stream)
      if (streams?.size === 0) byOwner.delete(owner_id)
    },
    has: (stream: EventStream) => byOwner.get(stream.subscription.owner_id)?.has(stream) === true,
    /** Who wants this event. */
    viewersOf(key: EventKey): EventStream[] {
      const found: EventStream[] = []
      // Those of the owner, and those of all.
      for (const owner_id of new Set([key.owner_id, null])) {
        for (const stream of byOwner.get(owner_id) ?? []) if (stream.wants(key)) found.push(stream)
      }
      return found
    },
  }
}

export type LiveStreams = ReturnType<typeof createLiveStreams>
