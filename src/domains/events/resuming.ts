import type { Db } from '../../db/types.ts'
import { findPosition, findStart, type Position, precedes, readHorizon } from '../../events/read.ts'
import { firstIdAt, timeOfId } from '../../lib/id.ts'

const UUID = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
/** As many digits as surely fit into a bigint. */
const TRANSACTION_ID = '[0-9]{1,18}'

/** More than the clocks of two machines differ, and a transaction lasts. */
const SLACK_MS = 86_400_000

/** What the stream itself sends as an id: of an event, or of a place between events. Empty is as good as absent. */
export const LAST_EVENT_ID = `^(${UUID}|after-${TRANSACTION_ID}-${UUID})?$`

/** How a client that has had no event is told where it is; nothing but this service can read it. */
export const positionToken = ({ transaction_id, id }: Position): string => `after-${transaction_id}-${id}`

/** Where a client goes on that has received this id. */
export async function resumedFrom(db: Db, last_event_id: string): Promise<Position> {
  const given = readToken(last_event_id) ?? (await positionOf(db, last_event_id.toLowerCase()))
  const horizon = await readHorizon(db)
  // Lists name events before they are final, and others may still come before them.
  return given !== undefined && precedes(given, horizon) ? given : horizon
}

function readToken(text: string): Position | undefined {
  const [, transaction_id, id] = TOKEN.exec(text) ?? []
  if (transaction_id === undefined || id === undefined) return undefined
  return { transaction_id: BigInt(transaction_id), id: id.toLowerCase() }
}

/** Of an event that is not there any more, its time tells about where it was: rather twice than never. */
const positionOf = async (db: Db, id: string) =>
  (await findPosition(db, id)) ?? findStart(db, firstIdAt(new Date(timeOfId(id).getTime() - SLACK_MS)))

const TOKEN = new RegExp(`^after-(${TRANSACTION_ID})-(${UUID})$`)
