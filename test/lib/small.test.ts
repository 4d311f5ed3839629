import { test } from 'tap'
import { banner } from '../../src/lib/banner.ts'
import { newId } from '../../src/lib/id.ts'
import { defineProblem } from '../../src/lib/problem.ts'
import { Progress } from '../../src/lib/progress.ts'
import { ref } from '../../src/lib/schema.ts'
import { holdsOnlyText } from '../../src/lib/text.ts'

function output(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, written, write: (text: string) => written.push(text) }
}

test('ids are UUIDv7, distinct, and sort as they were made', t => {
  const before = Date.now()
  const ids = Array.from({ length: 20_000 }, newId)
  t.ok(ids.every(id => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)))
  t.equal(new Set(ids).size, ids.length)
  t.strictSame([...ids].sort(), ids)
  const time = Number.parseInt((ids[0] ?? '').replaceAll('-', '').slice(0, 12), 16)
  t.ok(time >= before && time <= Date.now() + 10)
  t.end()
})

test('ids keep their order when the clock is set back', t => {
  const now = Date.now
  t.teardown(() => {
    Date.now = now
  })
  const first = newId()
  Date.now = () => now() - 3_600_000
  const ids = [first, ...Array.from({ length: 10_000 }, newId)]
  t.strictSame([...ids].sort(), ids)
  t.end()
})

test('progress is a bar on a terminal and lines elsewhere', t => {
  const terminal = output(true)
  const bar = new Progress('Work', 4, terminal)
  for (const done of [1, 2, 3, 4]) bar.update(done)
  t.equal(terminal.written.length, 4)
  t.match(terminal.written[1], /^\rWork █{15}░{15} 2\/4$/)
  t.match(terminal.written[3], /4\/4\n$/)

  const file = output(false)
  const lines = new Progress('Work', 1000, file)
  for (let done = 1; done <= 1000; done++) lines.update(done)
  t.equal(file.written.length, 10)
  t.equal(file.written[9], 'Work: 1000 of 1000\n')

  const nothing = output(false)
  new Progress('Work', 0, nothing).update(0)
  t.strictSame(nothing.written, ['Work: 0 of 0\n'])
  t.end()
})

test('the banner is for people', t => {
  const terminal = output(true)
  banner(terminal, 'http://127.0.0.1:3000', '/tmp/data')
  for (const part of ['http://127.0.0.1:3000/docs', '/tmp/data', 'Admin'])
    t.match(terminal.written.join(''), part)
  const file = output(false)
  banner(file, 'http://127.0.0.1:3000', '/tmp/data')
  t.strictSame(file.written, [])
  t.end()
})

test('text is what a database can store', t => {
  for (const text of ['', 'é🎉', { a: ['b', { c: null }] }, 5, true, undefined])
    t.equal(holdsOnlyText(text), true)
  for (const other of ['\0', '\ud800', ['\udc00'], { '\0': 1 }, { a: { b: ['x', '\ud83c'] } }]) {
    t.equal(holdsOnlyText(other), false)
  }
  t.end()
})

test('a problem is defined once, and only components are referred to', t => {
  const definition = { code: 'for_this_test', status: 418, title: '', explanation: '', remedy: '' }
  const Teapot = defineProblem(definition)
  t.throws(() => defineProblem(definition), /defined twice/)
  t.match(new Teapot('100 % short and stout'), { message: '100 % short and stout', statusCode: 418 })
  t.throws(() => ref({} as never), /component/)
  t.end()
})
