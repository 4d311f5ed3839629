import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { type Test, test } from 'tap'
import { announce, FRESH_MS } from '../../src/db/announcements.ts'
import { connectPostgres } from '../../src/db/postgres.ts'
import { firstRow } from '../../src/db/rows.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Database } from '../../src/db/types.ts'
import { anotherDatabase, createServerDatabase, serverUrl } from '../database.ts'
import { testConfig } from '../helper.ts'

/** Waits for what comes by itself; tap's own time limit ends what never comes. */
async function until(condition: () => boolean | Promise<boolean>) {
  while (!(await condition())) await nextTurn()
}

function follow(database: Database, channel = 'things') {
  const log: string[] = []
  const following = database.follow(channel, {
    heard: text => log.push(text),
    missed: () => log.push('(missed)'),
  })
  return { ...following, log }
}

const say = ({ db }: Database, text: string, channel = 'things') =>
  inTransaction(db, tx => announce(tx, channel, text))

test('what a transaction announces is heard when it is committed, and not otherwise', async t => {
  const database = await anotherDatabase(t)
  const { isCurrent, log } = follow(database)
  t.notOk(isCurrent(), 'before it is known to listen')
  await until(isCurrent)
  t.strictSame(log, ['(missed)'])
  const failing = inTransaction(database.db, async tx => {
    await announce(tx, 'things', 'rolled back')
    throw new Error('changed my mind')
  })
  await t.rejects(failing, { message: 'changed my mind' })
  await say(database, 'elsewhere', 'other_things')
  await inTransaction(database.db, async tx => {
    await announce(tx, 'things', 'one')
    await announce(tx, 'things', 'two "2" \\ ü')
    t.strictSame(log, ['(missed)'])
  })
  await until(() => log.length === 3)
  t.strictSame(log, ['(missed)', 'one', 'two "2" \\ ü'])
  t.ok(isCurrent())
})

test('who has ended hears no more, and the others do', async t => {
  const database = await anotherDatabase(t)
  const [first, second] = [follow(database), follow(database)]
  await until(() => first.isCurrent() && second.isCurrent())
  await first.end()
  t.notOk(first.isCurrent())
  await say(database, 'after the end')
  await until(() => second.log.includes('after the end'))
  t.strictSame(first.log, ['(missed)'])
  await first.end()
})

test('a channel has a simple name', async t => {
  const database = await anotherDatabase(t)
  for (const name of ['Things', 'a"b', 'a; drop table users', '', 'x'.repeat(64)]) {
    t.throws(() => follow(database, name), { message: /cannot be the name of a channel/ }, name)
  }
})

if (serverUrl !== undefined) {
  /** Stands between us and the server, to be silent without closing anything. */
  async function proxy(t: Test, target: string) {
    const { hostname, port } = new URL(target)
    const sockets = new Set<Socket>()
    let kept: number | undefined
    let delay = 0
    const server = createServer(client => {
      const upstream = connect(Number(port || 5432), hostname)
      client.on('data', chunk => upstream.write(chunk))
      upstream.on('data', chunk => {
        // A notification that comes without a question, which a pooler has nobody to give to.
        if (kept !== undefined && chunk[0] === 'A'.charCodeAt(0)) kept++
        else if (delay > 0) setTimeout(() => client.write(chunk), delay)
        else client.write(chunk)
      })
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          sockets.delete(socket)
          other.destroy()
        })
      }
    })
    const listen = async (at: number) => {
      server.listen(at, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }
    const ownPort = await listen(0)
    const stop = () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    t.teardown(stop)
    const url = new URL(target)
    url.hostname = '127.0.0.1'
    url.port = String(ownPort)
    return {
      url: url.href,
      stop,
      start: () => listen(ownPort),
      /** The connections that there are, not those to come. */
      freeze() {
        for (const socket of sockets) socket.pause()
      },
      thaw() {
        for (const socket of sockets) socket.resume()
      },
      slowDown: (ms: number) => {
        delay = ms
      },
      lendConnections: () => {
        kept = 0
      },
      kept: () => kept ?? 0,
    }
  }

  /** One that follows through a proxy, and one that announces without. */
  async function twoProcesses(t: Test) {
    const url = await createServerDatabase(t)
    const between = await proxy(t, url)
    const near = connectPostgres(between.url, testConfig())
    const far = connectPostgres(url, testConfig())
    t.teardown(() => Promise.all([near.close(), far.close()]))
    return { between, near, far, url }
  }

  const listeners = async ({ db }: Database) => {
    const row = await firstRow<{ count: number }>(
      db,
      sql`select count(*)::int as count from pg_stat_activity
        where application_name = 'plinth listen' and datname = current_database()`,
    )
    return Number(row?.count)
  }

  test('the other processes hear it, each once', async t => {
    const { near, far } = await twoProcesses(t)
    const all = [follow(near), follow(far)]
    await until(() => all.every(({ isCurrent }) => isCurrent()))
    const texts = Array.from({ length: 100 }, (_, index) => String(index))
    for (const text of texts) await say(far, text)
    await until(() => all.every(({ log }) => log.includes('99')))
    for (const { log } of all) t.strictSame(log, ['(missed)', ...texts])
  })

  test('what was committed before a statement is sent is heard before its answer', async t => {
    const { far, url } = await twoProcesses(t)
    const heard: string[] = []
    const client = postgres(url, {
      max: 1,
      onnotify: (_: string, text: string) => heard.push(text),
    } as object)
    t.teardown(() => client.end())
    await client.unsafe('listen things')
    let early = 0
    for (let index = 0; index < 500; index++) {
      await say(far, String(index))
      await client.unsafe('listen things')
      if (heard.at(-1) !== String(index)) early++
    }
    t.equal(early, 0)
    t.equal(heard.length, 500)
  })

  test('a lost connection is replaced, and what was built on it is void', async t => {
    const { near, far } = await twoProcesses(t)
    const { isCurrent, log } = follow(near)
    await until(isCurrent)
    await far.db.execute(sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'plinth listen' and datname = current_database()`)
    await until(() => log.length === 2)
    t.notOk(isCurrent())
    await say(far, 'meanwhile')
    await until(isCurrent)
    t.strictSame(log, ['(missed)', '(missed)', '(missed)'])
    await say(far, 'again')
    await until(() => log.includes('again'))
    await until(async () => (await listeners(far)) === 1)
  })

  test('a frozen connection is not current, by itself, and is replaced', async t => {
    const { between, near, far } = await twoProcesses(t)
    const { isCurrent, log } = follow(near)
    await until(isCurrent)
    between.freeze()
    const frozen = performance.now()
    let lastCurrent = frozen
    await until(() => {
      const now = performance.now()
      if (!isCurrent()) return true
      lastCurrent = now
      return false
    })
    t.ok(lastCurrent - frozen <= FRESH_MS, `${lastCurrent - frozen} ms`)
    await say(far, 'meanwhile')
    await until(isCurrent)
    t.strictSame(log, ['(missed)', '(missed)', '(missed)'])
    await say(far, 'again')
    await until(() => log.includes('again'))
  })

  test('a connection that was only slow is current when all has been heard', async t => {
    const { between, near, far } = await twoProcesses(t)
    const { isCurrent, log } = follow(near)
    await until(isCurrent)
    between.freeze()
    await until(() => !isCurrent())
    await say(far, 'meanwhile')
    between.thaw()
    await until(isCurrent)
    t.strictSame(log, ['(missed)', 'meanwhile'])
  })

  test('an answer that comes too late to be fresh changes nothing', async t => {
    const { between, near, far } = await twoProcesses(t)
    between.slowDown(FRESH_MS + 20)
    const { isCurrent, log } = follow(near)
    let current = false
    const notCurrentUntil = (condition: () => boolean) =>
      until(() => {
        current ||= isCurrent()
        return condition()
      })
    await notCurrentUntil(() => log.length === 1)
    for (const text of ['one', 'two', 'three']) {
      await say(far, text)
      await notCurrentUntil(() => log.includes(text))
    }
    t.notOk(current)
    between.slowDown(0)
    await until(isCurrent)
    t.strictSame(log, ['(missed)', 'one', 'two', 'three'])
  })

  test('a server that is away is waited for, and not by who ends', async t => {
    const { between, near, far } = await twoProcesses(t)
    between.stop()
    const [waiting, leaving] = [follow(near), follow(near)]
    let turns = 0
    await until(() => ++turns === 10)
    const started = performance.now()
    await leaving.end()
    t.ok(performance.now() - started < 50)
    await between.start()
    await until(waiting.isCurrent)
    t.strictSame(waiting.log, ['(missed)'])
    t.strictSame(leaving.log, [])
    between.freeze()
    const frozen = performance.now()
    await waiting.end()
    t.ok(performance.now() - frozen < 50)
    t.notOk(waiting.isCurrent())
    await until(async () => (await listeners(far)) === 0)
  })

  test('one that ends at once leaves no connection', async t => {
    const { near, far } = await twoProcesses(t)
    const early = [follow(near), follow(near), follow(near)]
    await early[0]?.end()
    await nextTurn()
    await early[1]?.end()
    await until(async () => (await listeners(far)) > 0)
    await early[2]?.end()
    await until(follow(near).isCurrent)
    await until(async () => (await listeners(far)) === 1)
  })

  test('closing the database ends who follows', async t => {
    const { near, far } = await twoProcesses(t)
    const { isCurrent, log } = follow(near)
    await until(isCurrent)
    await near.close()
    t.notOk(isCurrent())
    await until(async () => (await listeners(far)) === 0)
    t.strictSame(log, ['(missed)'])
  })

  test('a pooler that keeps announcements to itself is seen through', async t => {
    const { between, near } = await twoProcesses(t)
    between.lendConnections()
    const { isCurrent, log } = follow(near)
    let current = false
    await until(() => {
      current ||= isCurrent()
      return between.kept() === 2
    })
    t.notOk(current)
    t.strictSame(log, [])
  })
}
