import type { Db } from '../../db/types.ts'
import { findPosition, type Position, precedes, readHorizon } from '../../events/read.ts'

const UUID = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
/** As many digits as surely fit into a bigint. */
const TRANSACTION_ID = '[0-9]{1,18}'

/** Less than that of any event, and, unlike a negative one, of a kind that a place token may hold. */
const BEFORE_ALL = 0n

/** What the stream itself sends as an id: of an event, or of a place between events. Empty is as good as absent. */
export const LAST_EVENT_ID = `^(${UUID}|after-${TRANSACTION_ID}-${UUID})?$`

/** How a client that has had no event is told where it is; nothing but this service can read it. */
export const placeToken = ({ transaction_id, id }: Position): string => `after-${transaction_id}-${id}`

/** Where a client goes on that has received this id. */
export async function resumedFrom(db: Db, last_event_id: string): Promise<Position> {
  const given = await placeOf(db, last_event_id)
  const horizon = await readHorizon(db)
  // Lists name events before they are final, and others may still come before them.
  return precedes(given, horizon) ? given : horizon
}

async function placeOf(db: Db, last_event_id: string): Promise<Position> {
  const token = TOKEN.exec(last_event_id)
  if (token !== null) return { transaction_id: BigInt(token[1] ?? 0), id: String(token[2]).toLowerCase() }
  const id = last_event_id.toLowerCase()
  // One that was dropped after its time: then all before it were, and its time says where the rest begins.
  return (await findPosition(db, id)) ?? { transaction_id: BEFORE_ALL, id }
}

const TOKEN = new RegExp(`^after-(${TRANSACTION_ID})-(${UUID})$`)
