import { type Test, test } from 'tap'
import type { App } from '../../src/app.ts'
import { newId } from '../../src/lib/id.ts'
import { aPost, path, send } from '../domains/posts/writing.ts'
import { aUser } from '../helper.ts'
import { appsOn, needsPostgres, needsRedis } from './apps.ts'
import { READS_POSTS, readers, results, until, watchStatements } from './watched.ts'

// Several services on one database, each as a process of its own would be.

type Headers = Record<string, string>

/** Writes by one and reads by the other, at once, while others read both. */
async function hammer(t: Test, one: App, other: App, reading: (headers: Headers) => Headers) {
  const { url, headers } = await aPost(one)
  const stop = readers([one, other], [path, url])
  for (let round = 0; round < 24; round++) {
    const [writer, reader] = round % 2 ? [one, other] : [other, one]
    const title = `Round ${round}`
    const keyed = round % 3 ? {} : { 'idempotency-key': newId() }
    if (round % 3) t.equal((await send(writer, 'PATCH', url, headers, { title })).statusCode, 200)
    else {
      const answer = await send(writer, 'POST', path, { ...headers, ...keyed }, { title, content: 'x' })
      t.equal(answer.statusCode, 201)
    }
    const own = { url: round % 3 ? url : path, headers: reading(headers) }
    t.match((await reader.inject(own)).body, `"${title}"`)
  }
  await stop()
}

test('with Redis, whoever wrote by one process reads it by the other', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  await hammer(t, one, other, () => ({}))
  for (const app of [one, other]) t.ok(Number((await results(app, 'posts')).hit) > 0, 'and much was kept')
})

test('with Redis, a change is not answered before Redis knows of it', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  const { url, headers } = await aPost(one)
  for (const app of [one, other]) makePatient(app)
  const deletes = watchDeletes(one)
  for (const keyed of [{}, { 'idempotency-key': newId() }]) {
    const title = newId()
    const changes: [(title: string) => ReturnType<typeof send>, string][] = [
      [title => send(one, 'POST', path, { ...headers, ...keyed }, { title, content: 'x' }), path],
      [title => send(one, 'PATCH', url, headers, { title }), url],
    ]
    for (const [change, shown] of changes) {
      await isKept(other, shown)
      deletes.hold()
      const told = deletes.count
      let answered = false
      const answer = change(title).finally(() => {
        answered = true
      })
      await until(() => deletes.count > told)
      // It is committed, and would be answered while all this is.
      for (let turn = 0; turn < 20; turn++) await other.inject(shown)
      t.notOk(answered)
      deletes.letGo()
      t.ok((await answer).statusCode < 300)
      t.match((await other.inject(shown)).body, title)
    }
  }
})

/** Waits for Redis however busy the machine is, where the limit of that is not what a test is about. */
function makePatient({ redis, sharedRedis }: App) {
  if (!redis || !sharedRedis) throw new Error('There is no Redis.')
  const ask: typeof sharedRedis.ask = command => command(redis)
  Object.assign(sharedRedis, { ask })
}

/** What one tells Redis, counted when it is about to be said, and said only when it is let go. */
function watchDeletes({ redis }: App) {
  if (!redis) throw new Error('There is no Redis.')
  const del = redis.del.bind(redis) as (...keys: string[]) => Promise<number>
  let gate = Promise.resolve()
  const watched = {
    count: 0,
    done: 0,
    letGo() {},
    hold() {
      gate = new Promise(resolve => {
        watched.letGo = resolve
      })
    },
  }
  Object.assign(redis, {
    del: async (...keys: string[]) => {
      watched.count++
      await gate
      const deleted = await del(...keys)
      watched.done++
      return deleted
    },
  })
  return watched
}

/** Asks until the answer is one that was kept. */
const isKept = (app: App, url: string) =>
  until(async () => {
    const before = await results(app, 'posts')
    await app.inject(url)
    return Number((await results(app, 'posts')).hit ?? 0) > Number(before.hit ?? 0)
  })

test('with Redis, item stats as well', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  const { headers } = await aUser(one)
  const stats = (app: App) => app.inject({ url: '/api/v1/items/stats', headers })
  for (let total = 1; total <= 20; total++) {
    await Promise.all([stats(one), stats(other)])
    await (total % 2 ? one : other).inject({
      method: 'POST',
      url: '/api/v1/items',
      headers,
      payload: { title: 'x' },
    })
    t.match((await stats(total % 2 ? other : one)).json(), { total })
  }
  t.ok(Number((await results(one, 'item_stats')).hit) > 0)
})

test('with Redis, what one process has read the other need not', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  const { url, post } = await aPost(one)
  for (const app of [one, other]) makePatient(app)
  // Nothing tells when it has arrived there.
  await until(async () => {
    await one.inject(url)
    return (await one.redis?.keys(`plinth:*${post.id}`))?.length
  })
  const statements = watchStatements(other, READS_POSTS)
  t.equal((await other.inject(url)).json().title, post.title)
  t.equal(statements.count, 0)
})

test('with Redis, who read before a change leaves nothing behind', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  const { url, headers } = await aPost(one)
  await one.inject(url)
  await send(one, 'PATCH', url, headers, { title: 'Second' })
  await one.inject(`${path}?per_page=1`)
  const statements = watchStatements(other, READS_POSTS)
  statements.hold()
  const early = other.inject(url)
  await until(() => statements.read === 1)
  await send(one, 'PATCH', url, headers, { title: 'Third' })
  statements.letGo()
  t.match((await early).body, '"Second"')
  for (const app of [one, other, one, other]) t.match((await app.inject(url)).body, '"Third"')
})

test('without Redis for a while, everybody is answered, and nothing old', needsRedis, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: true })) as [App, App]
  const { url, headers } = await aPost(one)
  for (const app of [one, other, one, other]) await app.inject(url)
  one.redis?.disconnect()
  await until(() => !one.sharedRedis?.isThere)
  t.equal((await send(one, 'PATCH', url, headers, { title: 'New' })).statusCode, 200)
  t.match((await one.inject(url)).body, '"New"', 'by the process that could not tell')
  const before = await results(one, 'posts')
  await one.inject(url)
  t.match(await results(one, 'posts'), { bypass: Number(before.bypass) + 1 }, 'which keeps nothing meanwhile')
  const deletes = watchDeletes(one)
  one.redis?.connect()
  await until(() => deletes.done)
  t.match((await other.inject(url)).body, '"New"', 'the other is told, and need not wait for its end')
  await isKept(one, url)
  t.match((await one.inject(url)).body, '"New"')
})

test(
  'without Redis, whoever shows a credential reads what was written by the other',
  needsPostgres,
  async t => {
    const [one, other] = (await appsOn(t, 2, { shared: false })) as [App, App]
    await hammer(t, one, other, headers => headers)
    for (const app of [one, other]) {
      t.ok(Number((await results(app, 'posts')).bypass) > 0)
      t.equal((await results(app, 'item_stats')).hit, undefined)
    }
  },
)

test('without Redis, others hear of it from the database', needsPostgres, async t => {
  const [one, other] = (await appsOn(t, 2, { shared: false })) as [App, App]
  const author = await aUser(one)
  const { url, headers } = await aPost(one, author.headers)
  await isKept(other, url)
  const changes: [() => ReturnType<typeof send>, string][] = [
    [() => send(one, 'PATCH', url, headers, { title: 'Second' }), '"Second"'],
    [() => send(one, 'PATCH', '/api/v1/users/me', headers, { last_name: 'King' }), 'Ada King'],
  ]
  for (const [change, shown] of changes) {
    t.equal((await change()).statusCode, 200)
    t.match((await one.inject(url)).body, shown, 'the process that did it knows')
    await until(async () => (await other.inject(url)).body.includes(shown))
    await isKept(other, url)
  }
  t.equal((await send(one, 'DELETE', url, headers)).statusCode, 204)
  await until(async () => (await other.inject(url)).statusCode === 404)
})
