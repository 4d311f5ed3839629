import { sql } from 'drizzle-orm'
import { timestamp, uuid } from 'drizzle-orm/pg-core'
import { newId } from '../lib/id.ts'

/** What the columns of every table have in common. Milliseconds, because that is what the contract shows. */
const moment = () =>
  timestamp({ withTimezone: true, precision: 3, mode: 'date' }).notNull().default(sql`now()`)

export const idColumn = () => uuid().primaryKey().$defaultFn(newId)

export const timestampColumns = () => ({ created_at: moment(), updated_at: moment() })
