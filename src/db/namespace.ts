import { executePrepared } from './raw.ts'
import type { Db } from './types.ts'

/** What all names of ours in Redis begin with. */
export type Namespace = () => string | Promise<string>

/**
 * A Redis may serve more than one deployment, whose posts must not appear in each other's answers, nor their callers use
 * up each other's limits. What tells them apart
 * is the database itself: its name and address may be written differently in each process.
 */
export function namespaceOf(db: Db): Namespace {
  let known: string | undefined
  return () => known ?? ask()

  async function ask() {
    const [row] = await executePrepared(db, IDENTITY, [])
    known = `plinth:${row?.identity}`
    return known
  }
}

const IDENTITY = `
  select system_identifier || ':' || (select oid from pg_database where datname = current_database()) as identity
  from pg_control_system()`
