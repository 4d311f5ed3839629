import { sql } from 'drizzle-orm'
import { customType, timestamp, uuid } from 'drizzle-orm/pg-core'
import { newId } from '../lib/id.ts'

/** What the columns of every table have in common. Milliseconds, because that is what the contract shows. */
export const momentColumn = () => timestamp({ withTimezone: true, precision: 3, mode: 'date' })

export const createdAtColumn = () => momentColumn().notNull().default(sql`now()`)

export const idColumn = () => uuid().primaryKey().$defaultFn(newId)

export const timestampColumns = () => ({ created_at: createdAtColumn(), updated_at: createdAtColumn() })

export const bytesColumn = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
})
