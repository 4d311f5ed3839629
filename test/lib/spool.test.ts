import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { Problem } from '../../src/lib/problem.ts'
import { spool } from '../../src/lib/spool.ts'
import { temporaryDirectory } from '../temporary-directory.ts'
import { endless, inPieces } from './chunks.ts'
import { filesOpenAs } from './open-files.ts'

const limit = 1_048_576

async function bytesOf(chunks: AsyncIterable<Buffer>) {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

test('what was sent can be read any number of times, also at once', async t => {
  const directory = temporaryDirectory(t)
  const sent = Buffer.from(Array.from({ length: 700_000 }, (_, index) => index % 251))
  for (const size of [100, 65_536, 300_000]) {
    const kept = await spool(inPieces(sent, [size]), { limit, directory, digest: true, length: sent.length })
    t.equal(kept.bytes, sent.length)
    t.strictSame(kept.sha256, createHash('sha256').update(sent).digest())
    t.ok((await bytesOf(kept)).equals(sent))
    const [one, other] = await Promise.all([bytesOf(kept), bytesOf(kept)])
    t.ok(one.equals(sent) && other.equals(sent))
    await kept.close()
  }
})

test('nothing is a file too', async t => {
  const kept = await spool(inPieces(''), { limit, directory: temporaryDirectory(t) })
  t.equal(kept.bytes, 0)
  t.equal(kept.sha256, undefined)
  t.equal((await bytesOf(kept)).length, 0)
  await kept.close()
})

test('while it is open nobody finds it, and when it is closed it is gone', async t => {
  const directory = temporaryDirectory(t)
  const kept = await spool(inPieces('abc'), { limit, directory })
  t.strictSame(readdirSync(directory), [])
  const [open = ''] = filesOpenAs(directory)
  t.equal((await fs.stat(open)).mode & 0o777, 0o600)
  await kept.close()
  await kept.close()
  t.strictSame(filesOpenAs(directory), [])
  await t.rejects(bytesOf(kept), 'it cannot be read any more')
})

test('reading can stop in the middle, and begin again', async t => {
  const kept = await spool(endless('x', limit), { limit, directory: temporaryDirectory(t) })
  for await (const _chunk of kept) break
  t.equal((await bytesOf(kept)).length, limit)
  await kept.close()
})

const broken = async function* () {
  yield Buffer.from('abc')
  throw new Error('aborted')
}

const failures: [string, AsyncIterable<Buffer>, { length?: number; directory?: string }, number, RegExp][] = [
  ['more than may be', endless('x', limit + 1), {}, 413, /larger than the 1048576 bytes/],
  ['more than may be, as announced', broken(), { length: limit + 1 }, 413, /larger/],
  ['a sender who goes', broken(), {}, 400, /^The body ended before it was complete/],
  ['less than was announced', inPieces('abc'), { length: 4 }, 400, /ended before/],
  ['more than was announced', inPieces('abc'), { length: 2 }, 400, /ended before/],
  ['a place that is not there', inPieces('abc'), { directory: '/nowhere' }, 503, /cannot be stored/],
  ['a disk that is full', inPieces('abc'), {}, 503, /cannot be stored/],
]

for (const [name, source, options, status, message] of failures) {
  test(`refused: ${name}`, async t => {
    const directory = temporaryDirectory(t)
    if (name === 'a disk that is full') await fillDisk(t)
    const error: Problem = await spool(source, { limit, directory, ...options }).then(
      () => t.fail('taken'),
      failure => failure,
    )
    t.equal(error.statusCode, status)
    t.match(error.message, message)
    t.strictSame(filesOpenAs(directory), [])
    t.strictSame(readdirSync(directory), [])
  })
}

/** Files can be opened from now on, and not be written. */
async function fillDisk(t: Test) {
  const handle = await fs.open('/dev/null')
  const value = () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
  t.intercept(Object.getPrototypeOf(handle), 'appendFile', { value })
  await handle.close()
}

test('where the name of an open file cannot be removed, it goes when the file is closed', async t => {
  const directory = temporaryDirectory(t)
  const { rm } = fs
  fs.rm = () => Promise.reject(new Error('busy'))
  syncBuiltinESMExports()
  const kept = await spool(inPieces('abc'), { limit, directory })
  fs.rm = rm
  syncBuiltinESMExports()
  const [name = ''] = readdirSync(directory)
  t.equal((await fs.stat(join(directory, name))).mode & 0o777, 0o600)
  await kept.close()
  t.strictSame(readdirSync(directory), [])
})
