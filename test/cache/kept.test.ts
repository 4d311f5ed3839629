import { test } from 'tap'
// All types of events are defined by then.
import '../../src/app.ts'
import { generationsInMemory } from '../../src/cache/generations.ts'
import { changedSubjects, type Kept } from '../../src/cache/kind.ts'
import { itemStats } from '../../src/domains/items/kept.ts'
import { publicPosts } from '../../src/domains/posts/kept.ts'
import { allEventTypes } from '../../src/events/event-type.ts'
import { isAmong } from '../../src/events/type-patterns.ts'
import { kept } from '../../src/kept.ts'
import { newId } from '../../src/lib/id.ts'

test('what is kept depends on types that there are, and that are told to all processes', async t => {
  for (const { name, changedBy, of } of kept) {
    for (const pattern of changedBy) {
      t.ok(
        allEventTypes().some(type => isAmong(type.name, [pattern])),
        `${name}: ${pattern}`,
      )
    }
    if (of === 'owner') continue
    const silent = allEventTypes().filter(type => isAmong(type.name, changedBy) && !type.announced)
    // What is purged was not to be seen before.
    t.strictSame(
      silent.map(type => type.name),
      ['post.purged'],
      name,
    )
  }
})

test('a change is one of what depends on it, and of nobody else', async t => {
  const [owner, other] = [newId(), newId()]
  t.strictSame(changedSubjects(kept, { type: 'item.updated', owner_id: owner }), [`item_stats:${owner}`])
  t.strictSame(changedSubjects(kept, { type: 'item.imported', owner_id: other }), [`item_stats:${other}`])
  t.strictSame(changedSubjects(kept, { type: 'item.updated', owner_id: null }), [])
  t.strictSame(changedSubjects(kept, { type: 'user.updated', owner_id: owner }), ['posts'])
  t.strictSame(changedSubjects(kept, { type: 'session.created', owner_id: owner }), [])
  t.equal(new Set(kept.map(({ name }: Kept) => name)).size, kept.length)
})

test('no generation comes back, also when there are too many to remember', async t => {
  const generations = generationsInMemory()
  const seen = new Set([generations.current('a')])
  for (let round = 0; round < 25_000; round++) {
    generations.renew(round % 2 ? 'a' : `b${round}`)
    if (round % 2 === 0) continue
    const now = generations.current('a')
    if (seen.has(now)) t.fail(`${now} was there before`)
    seen.add(now)
  }
  const untouched = generations.current('c')
  generations.renewAll()
  t.not(generations.current('c'), untouched)
})

test('what Redis holds is taken only where it is whole', async t => {
  const answer = { body: '{}', etag: '"x-1"', url: '/api/v1/posts' }
  for (const whole of [answer, { ...answer, link: '</>; rel="first"' }])
    t.equal(publicPosts.isWhole(whole), true)
  const broken = [
    { body: 5 },
    { etag: 7 },
    { etag: '"x"\r\nx: y' },
    { etag: 'x' },
    { url: undefined },
    { link: 1 },
  ]
  for (const part of broken) t.equal(publicPosts.isWhole({ ...answer, ...part }), false, JSON.stringify(part))
  const stats = { total: 1, draft: 1, published: 0, archived: 0 }
  t.equal(itemStats.isWhole(stats), true)
  t.equal(itemStats.isWhole({ ...stats, archived: 'none' }), false)
  for (const nothing of [undefined, null, 5, 'x', [], {}]) {
    t.equal(publicPosts.isWhole(nothing), false)
    t.equal(itemStats.isWhole(nothing), false)
  }
})
