import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import { packageRoot } from '../lib/package.ts'
import { isMissingTable } from './errors.ts'
import { firstRow } from './rows.ts'
import type { Db } from './types.ts'

const migrationsFolder = join(packageRoot, 'drizzle')

/** The migrations that came with this code, oldest first. */
const knownMigrations = (): MigrationMeta[] => readMigrationFiles({ migrationsFolder })

/**
 * Applies what is missing, each migration in its own transaction with its entry in drizzle's journal,
 * so a failure leaves the earlier ones applied and the failed one undone. Returns how many were applied.
 */
export async function migrate(
  db: Db,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<number> {
  await db.execute(sql`create schema if not exists drizzle`)
  await db.execute(
    sql`create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`,
  )
  const last = await lastApplied(db)
  const pending = knownMigrations().filter(migration => migration.folderMillis > last)
  for (const [index, migration] of pending.entries()) {
    await apply(db, migration)
    onProgress(index + 1, pending.length)
  }
  return pending.length
}

function apply(db: Db, migration: MigrationMeta): Promise<void> {
  return db.transaction(async tx => {
    for (const statement of migration.sql) await tx.execute(sql.raw(statement))
    await tx.execute(
      sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${migration.hash}, ${migration.folderMillis})`,
    )
  })
}

/** How many of this code's migrations the database has not seen. A database that is ahead of the code has none pending. */
export async function pendingMigrations(db: Db): Promise<number> {
  const last = await lastApplied(db).catch(error => {
    if (isMissingTable(error)) return 0
    throw error
  })
  knownTimes ??= knownMigrations().map(migration => migration.folderMillis)
  return knownTimes.filter(time => time > last).length
}

/** Read once: readiness asks every second, and the files of a running release do not change. */
let knownTimes: number[] | undefined

/** When the newest migration that the database has seen was made. */
async function lastApplied(db: Db): Promise<number> {
  const row = await firstRow<{ last: string | null }>(
    db,
    sql`select max(created_at) as last from drizzle.__drizzle_migrations`,
  )
  return Number(row?.last ?? 0)
}
