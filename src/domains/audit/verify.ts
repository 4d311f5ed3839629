import type { Db } from '../../db/types.ts'
import { firstIdAt } from '../../lib/id.ts'
import { type ComparedSeal, compareSeals, countUnsealed, readEntries } from './seals.ts'

/** One statement compares this many seals, so it ends well within the statement timeout. */
const SEALS_PER_STATEMENT = 20

const ENTRY_LENGTH = 2 * (16 + 32)
const ID_LENGTH = 2 * 16

export interface Breach {
  /** `altered`, `removed` and `inserted` are said of an event; `seal_altered` and `seal_missing` of a seal. */
  fault: 'altered' | 'removed' | 'inserted' | 'seal_altered' | 'seal_missing'
  seal: number
  event_id: string | null
}

export interface Verification {
  valid: boolean
  breach: Breach | null
  seals: number
  events: number
  /** The last seal that was looked at. Whoever notes its hash elsewhere can tell if the whole chain is made anew. */
  last_seal: number
  last_hash: string | null
  complete: boolean
  /** Events before this were dropped after their time; only the chain of their seals could be verified. */
  expired_before: Date | null
  unsealed_events: number
}

interface VerifyOptions {
  /** Where to go on; 0 for the beginning. */
  after_seal: number
  /** Stop when it has taken this long. */
  time_ms: number
}

/** Follows the chain of seals, and compares the events with it, until something is broken or the time is up. */
export async function verifyAudit(db: Db, options: VerifyOptions): Promise<Verification> {
  const { after_seal, time_ms } = options
  const until = performance.now() + time_ms
  const found: Verification = {
    valid: true,
    breach: null,
    seals: 0,
    events: 0,
    last_seal: after_seal,
    last_hash: null,
    complete: false,
    expired_before: null,
    unsealed_events: await countUnsealed(db),
  }
  // Somebody may have cut off the end since the seal was looked at.
  if (after_seal > 0 && (await compareSeals(db, after_seal - 1, 1))[0]?.number !== after_seal) {
    return {
      ...found,
      valid: false,
      breach: { fault: 'seal_missing', seal: after_seal, event_id: null },
      complete: true,
    }
  }
  while (performance.now() < until) {
    const seals = await compareSeals(db, found.last_seal, SEALS_PER_STATEMENT)
    for (const seal of seals) {
      const breach = await breachOf(db, seal, found.last_seal)
      if (breach !== undefined) return { ...found, valid: false, breach, complete: true }
      found.seals++
      found.events += seal.event_count
      found.last_seal = seal.number
      found.last_hash = seal.hash
      if (seal.expired_before !== null) found.expired_before = new Date(seal.expired_before)
    }
    if (seals.length < SEALS_PER_STATEMENT) return { ...found, complete: true }
  }
  return found
}

async function breachOf(db: Db, seal: ComparedSeal, previous: number): Promise<Breach | undefined> {
  const { number } = seal
  if (number !== previous + 1) return { fault: 'seal_missing', seal: previous + 1, event_id: null }
  if (!seal.follows || !seal.intact) return { fault: 'seal_altered', seal: number, event_id: null }
  return seal.covers ? undefined : firstDifference(db, seal)
}

/** The first event that is not as it was sealed. None, if all that is missing was dropped after its time. */
async function firstDifference(
  db: Db,
  { number, expired_before }: ComparedSeal,
): Promise<Breach | undefined> {
  const entries = await readEntries(db, number)
  const kept = expired_before === null ? '' : firstIdAt(new Date(expired_before))
  const sealed = splitEntries(entries?.sealed ?? '').filter(({ id }) => id >= kept)
  const present = splitEntries(entries?.present ?? '')
  const index = sealed.findIndex((entry, at) => entry.text !== present[at]?.text)
  const at = index === -1 ? sealed.length : index
  const [was, is] = [sealed[at], present[at]]
  if (is !== undefined && !sealed.some(({ id }) => id === is.id)) {
    return { fault: 'inserted', seal: number, event_id: is.id }
  }
  if (was === undefined) return undefined
  return { fault: was.id === is?.id ? 'altered' : 'removed', seal: number, event_id: was.id }
}

function splitEntries(hex: string): { id: string; text: string }[] {
  return Array.from({ length: hex.length / ENTRY_LENGTH }, (_, index) => {
    const text = hex.slice(index * ENTRY_LENGTH, (index + 1) * ENTRY_LENGTH)
    const id = text.slice(0, ID_LENGTH)
    return { id: id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), text }
  })
}
