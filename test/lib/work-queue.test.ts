import { type Test, test } from 'tap'
import { createWorkQueue } from '../../src/lib/work-queue.ts'

/** One second a piece and two seconds to wait, unless measured otherwise. */
const options = { at_once: 2, longest_wait_ms: 2000, first_guess_ms: 1000, refusal: 'Too much.' }

interface Ending {
  resolve(value: string): void
  reject(error: Error): void
}

/** A queue, and the pieces of work that it began, which end when they are told to. */
function queueOf(t: Test, given: Partial<typeof options> = {}) {
  let now = 0
  t.intercept(performance, 'now', { value: () => now })
  const queue = createWorkQueue({ ...options, ...given })
  const begun: string[] = []
  const running = new Map<string, Ending>()

  return {
    begun,
    running,
    run(name: string) {
      return queue.run(() => {
        begun.push(name)
        return new Promise<string>((resolve, reject) => running.set(name, { resolve, reject }))
      })
    },
    async finish(name: string, error?: Error) {
      const piece = running.get(name)
      running.delete(name)
      if (error) piece?.reject(error)
      else piece?.resolve(name)
      await settled()
    },
    pass(ms: number) {
      now += ms
    },
  }
}

const tooLate = { statusCode: 503, message: 'Too much.' }

const settled = () => new Promise(setImmediate)

test('never more at once than allowed, and first come, first served', async t => {
  const { run, finish, begun, running } = queueOf(t, { longest_wait_ms: 100_000 })
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const results = names.map(run)
  for (const [index, name] of names.entries()) {
    t.strictSame(begun, names.slice(0, index + 2))
    t.ok(running.size <= 2)
    await finish(name)
  }
  t.strictSame(await Promise.all(results), names)
})

test('a place that is handed over is not free for whoever comes just then', async t => {
  const { run, finish, begun } = queueOf(t, { at_once: 1 })
  const first = run('first')
  const second = run('second')
  const third = first.then(() => run('third'))
  await finish('first')
  t.strictSame(begun, ['first', 'second'])
  await finish('second')
  await finish('third')
  t.strictSame(await Promise.all([second, third]), ['second', 'third'])
})

test('who would wait too long is refused, with the seconds until the line is gone', async t => {
  const { run, finish, pass, begun } = queueOf(t)
  const accepted = ['a', 'b', 'c', 'd', 'e', 'f'].map(run)
  await t.rejects(run('g'), { ...tooLate, headers: { 'retry-after': '3' } })

  pass(1000)
  await finish('a')
  accepted.push(run('h'))
  await t.rejects(run('i'), tooLate)
  await finish('b')
  for (const names of [['c', 'd'], ['e', 'f'], ['h']]) {
    pass(1000)
    for (const name of names) await finish(name)
  }
  t.strictSame(await Promise.all(accepted), ['a', 'b', 'c', 'd', 'e', 'f', 'h'])
  t.strictSame(begun, ['a', 'b', 'c', 'd', 'e', 'f', 'h'])
})

test('how many may wait follows from how long the last pieces took', async t => {
  const { run, finish, pass } = queueOf(t, { at_once: 1, first_guess_ms: 100 })
  for (let index = 0; index < 20; index++) {
    const done = run('slow')
    pass(2100)
    await finish('slow')
    await done
  }
  const only = run('only')
  await t.rejects(run('refused'), tooLate)
  await finish('only')
  await only

  for (let index = 0; index < 20; index++) {
    const done = run('fast')
    pass(10)
    await finish('fast')
    await done
  }
  const many = Array.from({ length: 20 }, (_, index) => run(String(index)))
  for (let index = 0; index < 20; index++) await finish(String(index))
  t.equal((await Promise.all(many)).length, 20)
})

test('who after all waited too long is refused in turn, and the next is not kept', async t => {
  const { run, finish, pass, begun } = queueOf(t, { at_once: 1 })
  const first = run('first')
  const late = run('late')
  pass(1500)
  const next = run('next')
  pass(501)
  const refused = t.rejects(late, tooLate)
  await finish('first')
  await refused
  t.strictSame(begun, ['first', 'next'])
  await finish('next')
  t.strictSame(await Promise.all([first, next]), ['first', 'next'])
})

test('a failure frees its place, and says nothing about how fast the others are', async t => {
  const { run, finish, begun } = queueOf(t, { at_once: 1 })
  for (let index = 0; index < 20; index++) {
    const failing = t.rejects(run('failing'), { message: 'planned' })
    await finish('failing', new Error('planned'))
    await failing
  }
  const accepted = ['a', 'b', 'c'].map(run)
  await t.rejects(run('d'), tooLate)
  await finish('a')
  t.equal(begun.at(-1), 'b')
  await finish('b')
  await finish('c')
  await Promise.all(accepted)
})
