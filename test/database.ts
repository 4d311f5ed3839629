import { createHash, randomBytes } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { jobs } from '../src/background.ts'
import { embeddedDatabase, embeddedExtensions, openEmbedded } from '../src/db/embedded.ts'
import { connectPostgres } from '../src/db/postgres.ts'
import { firstRow } from '../src/db/rows.ts'
import type { Database, Db } from '../src/db/types.ts'
import { packageRoot } from '../src/lib/package.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { testConfig } from './helper.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** Set, the suite runs on this server: each test file gets a database of its own there, cloned from a template. */
export const serverUrl = process.env.TEST_DATABASE_URL

/** Changes when what the database is prepared with does, or the embedded Postgres. */
const version = schemaVersion()

const cache = join(packageRoot, 'node_modules', '.cache', 'plinth')

let own: Promise<Database> | undefined

/** The database of this test file. Each file is a process, so this is made once and ended with it. */
export function testDatabase(): Promise<Database> {
  own ??= anotherDatabase(t)
  return own
}

/** A database that only this test has. */
export async function anotherDatabase(test: Pick<typeof t, 'teardown'>): Promise<Database> {
  if (serverUrl === undefined) {
    const client = await PGlite.create({ loadDataDir: await snapshot(), extensions: embeddedExtensions })
    const database = embeddedDatabase(client)
    test.teardown(() => database.close())
    return database
  }
  const url = await createServerDatabase(test)
  const database = connectPostgres(url, testConfig())
  test.teardown(() => database.close())
  return database
}

/** A migrated database on the server, dropped when the test ends. */
export async function createServerDatabase(
  test: Pick<typeof t, 'teardown'>,
  { empty = false } = {},
): Promise<string> {
  const admin = postgres(serverUrl ?? '', { max: 1, onnotice: () => {} })
  const name = `plinth_test_${process.pid}_${randomBytes(4).toString('hex')}`
  const template = empty ? 'template0' : await templateDatabase(admin)
  await admin`create database ${admin(name)} template ${admin(template)}`
  test.teardown(async () => {
    await admin`drop database if exists ${admin(name)} with (force)`
    await admin.end()
  })
  return withDatabase(name)
}

/** The variables that give a process of ours the kind of database that this run is about: prepared, or empty. */
export async function databaseVariables(test: Test, { empty = false } = {}): Promise<Record<string, string>> {
  const DATA_DIR = join(temporaryDirectory(test), 'data')
  if (serverUrl !== undefined) return { DATA_DIR, DATABASE_URL: await createServerDatabase(test, { empty }) }
  if (!empty) cpSync(await preparedDirectory(), DATA_DIR, { recursive: true })
  return { DATA_DIR }
}

async function templateDatabase(admin: postgres.Sql): Promise<string> {
  const name = `plinth_template_${version}`
  // The files run in parallel; the first one makes the template, and the others wait for it.
  await admin`select pg_advisory_lock(hashtext('plinth test template'))`
  const [existing] = await admin`select 1 from pg_database where datname = ${name}`
  if (existing === undefined) {
    const unfinished = `${name}_new`
    await admin`drop database if exists ${admin(unfinished)} with (force)`
    await admin`create database ${admin(unfinished)}`
    const database = connectPostgres(withDatabase(unfinished), testConfig())
    await prepareDatabase(database)
    await database.close()
    await admin`alter database ${admin(unfinished)} rename to ${admin(name)}`
  }
  await admin`select pg_advisory_unlock(hashtext('plinth test template'))`
  return name
}

/**
 * Resolves when the order of all events is final. Transactions of other databases on the same server delay that,
 * and the files of the suite run side by side.
 */
export async function eventsAreFinal(db: Db): Promise<void> {
  for (let final = false; !final; ) {
    const row = await firstRow<{ final: boolean }>(
      db,
      sql`select coalesce(bool_and(transaction_id < event_horizon()), true) as final from events`,
    )
    final = row?.final === true
  }
}

function withDatabase(name: string): string {
  const url = new URL(serverUrl ?? '')
  url.pathname = `/${name}`
  return url.href
}

/** A data directory with a prepared database, made by whichever test file comes first. */
async function preparedDirectory(): Promise<string> {
  const directory = join(cache, `data-${version}`)
  if (existsSync(directory)) return directory
  const unfinished = `${directory}.${process.pid}`
  const database = await openEmbedded(unfinished)
  await prepareDatabase(database)
  await database.close()
  try {
    renameSync(unfinished, directory)
  } catch {
    // Another file was first.
    rmSync(unfinished, { recursive: true })
  }
  return directory
}

/** A migrated embedded database as one file, made by whichever test file comes first. */
async function snapshot(): Promise<Blob> {
  const file = join(cache, `snapshot-${version}.tar`)
  if (!existsSync(file)) {
    const client = await PGlite.create({ extensions: embeddedExtensions })
    await prepareDatabase(embeddedDatabase(client))
    const dump = await client.dumpDataDir('none')
    await client.close()
    mkdirSync(cache, { recursive: true })
    const unfinished = `${file}.${process.pid}`
    writeFileSync(unfinished, Buffer.from(await dump.arrayBuffer()))
    renameSync(unfinished, file)
  }
  return new Blob([readFileSync(file)])
}

function schemaVersion(): string {
  const hash = createHash('sha256')
  const folder = join(packageRoot, 'drizzle')
  for (const name of readdirSync(folder)
    .filter(file => file.endsWith('.sql'))
    .sort()) {
    hash.update(readFileSync(join(folder, name)))
  }
  hash.update(createRequire(import.meta.url).resolve('@electric-sql/pglite'))
  hash.update(readFileSync(join(packageRoot, 'package-lock.json')))
  // What is prepared beside the migrations: a queue for each job, and the partitions of the month.
  hash.update(jobs.map(({ name }) => name).join())
  hash.update(new Date().toISOString().slice(0, 7))
  return hash.digest('hex').slice(0, 12)
}
