import { existsSync } from 'node:fs'
import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { btree_gin } from '@electric-sql/pglite/contrib/btree_gin'
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm'
import { drizzle } from 'drizzle-orm/pglite'
import { inDataDirectory } from '../lib/data-directory.ts'
import { StartupError } from '../lib/exit-codes.ts'
import type { Load } from '../lib/expected-wait.ts'
import { packageRoot } from '../lib/package.ts'
import { checkChannel } from './announcements.ts'
import { lockDirectory } from './directory-lock.ts'
import type { Database, Db, Following, Listener } from './types.ts'

/** The extensions that migrations may create; on a server they come with Postgres. */
export const embeddedExtensions = { btree_gin, pg_trgm }

/** An empty database, made by `npm run build`: copying it takes a tenth of the time of making one (2.3 s). */
export const templateDirectory = join(packageRoot, 'dist', 'embedded-template')

/** The longest that statements which follow each other keep timers, sockets and signals waiting. */
const TURN_MS = 5

/** Opens Postgres inside this process, with its files in `dataDir`. */
export async function openEmbedded(dataDir: string): Promise<Database> {
  const unlock = inDataDirectory(dataDir, () => lockDirectory(dataDir))
  try {
    const directory = join(dataDir, 'database')
    if (!existsSync(directory)) await createIn(directory)
    else if (!existsSync(join(directory, 'PG_VERSION'))) {
      throw new StartupError(`${directory} holds no database; restore it from a backup, or move it away.`)
    }
    return embeddedDatabase(await openDirectory(directory), unlock)
  } catch (error) {
    unlock()
    throw error
  }
}

export function embeddedDatabase(client: PGlite, afterClose = () => {}): Database {
  const db = drizzle(client) as unknown as Db
  const followings: Following[] = []
  takeTurns(client)
  return {
    kind: 'embedded',
    db,
    load: countCalls(client),
    // The directory's lock already keeps other processes out.
    exclusively: work => work(db),
    follow(channel, listener) {
      const following = followEmbedded(client, channel, listener)
      followings.push(following)
      return following
    },
    async close() {
      await Promise.all(followings.map(following => following.end()))
      await client.close()
      afterClose()
    },
  }
}

/** Nothing can be lost between this process and itself, once it listens. */
function followEmbedded(client: PGlite, channel: string, listener: Listener): Following {
  checkChannel(channel)
  let current = false
  const stop = client.listen(channel, text => current && listener.heard(text))
  stop.then(
    () => {
      listener.missed()
      current = true
    },
    () => {},
  )
  return {
    isCurrent: () => current,
    async end() {
      current = false
      await stop.then(unlisten => unlisten()).catch(() => {})
    },
  }
}

/** PGlite never waits for anything outside, so whoever sends it statement after statement would stop all else. */
function takeTurns(client: PGlite) {
  const execute = client.execProtocolRaw
  let since = performance.now()
  client.execProtocolRaw = async (...call) => {
    if (performance.now() - since > TURN_MS) {
      await nextTurn()
      since = performance.now()
    }
    return execute.apply(client, call)
  }
}

/** PGlite does one thing at a time; what else it was asked for waits. */
function countCalls(client: PGlite): () => Load {
  let unanswered = 0
  let answered = 0
  const counted = <Call extends unknown[], Result>(call: (...given: Call) => Promise<Result>) => {
    const original = call.bind(client)
    return async (...given: Call) => {
      unanswered++
      try {
        return await original(...given)
      } finally {
        unanswered--
        answered++
      }
    }
  }
  client.query = counted(client.query) as typeof client.query
  client.transaction = counted(client.transaction) as typeof client.transaction
  return () => ({ waiting: Math.max(unanswered - 1, 0), answered })
}

/** Under another name until it is whole: a process killed in the middle leaves nothing that looks like a database. */
async function createIn(directory: string) {
  const unfinished = `${directory}.new`
  await rm(unfinished, { recursive: true, force: true })
  if (existsSync(templateDirectory)) await cp(templateDirectory, unfinished, { recursive: true })
  else await createEmpty(unfinished)
  await rename(unfinished, directory)
}

export async function createEmpty(directory: string) {
  const client = await openDirectory(directory)
  await client.close()
}

const openDirectory = (dataDir: string) => PGlite.create({ dataDir, extensions: embeddedExtensions })
