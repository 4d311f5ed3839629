import { type Test, test } from 'tap'
import {
  demandVersion,
  etagOf,
  isVersioned,
  NO_PRECONDITION,
  namesTag,
  readPrecondition,
  TAGS_PATTERN,
  tagOfBytes,
  versionsFor,
} from '../../src/lib/precondition.ts'

const id = '0192f0c1-6a4b-7c3d-8e5f-0123456789ab'
const other = '0192f0c1-6a4b-7c3d-8e5f-0123456789ac'
const third = `"${id}-3"`
const fourth = `"${id}-4"`
const resource = { id, version: 3 }

/** As Ajv compiles it. */
const pattern = new RegExp(TAGS_PATTERN, 'u')

/** Whether the third version may be changed. Services that lock a row ask in one way, statements in the other. */
function passes(t: Test, ifMatch: string | undefined, ifNoneMatch?: string): boolean {
  for (const value of [ifMatch, ifNoneMatch]) if (value !== undefined) t.match(value, pattern)
  const precondition = readPrecondition(ifMatch, ifNoneMatch)
  const { only, except } = versionsFor(precondition, id)
  const inSql = (only === null || only.includes(3)) && !except.includes(3)
  if (inSql) t.doesNotThrow(() => demandVersion(precondition, resource), `${ifMatch} ${ifNoneMatch}`)
  else t.throws(() => demandVersion(precondition, resource), { code: 'PRECONDITION_FAILED', statusCode: 412 })
  return inSql
}

test('a tag is made of id and version, and is strong', async t => {
  t.equal(etagOf(resource), third)
  t.not(etagOf({ id: other, version: 3 }), third)
  t.match(third, pattern)
})

test('If-Match lets pass what it names, compared strongly', async t => {
  t.equal(passes(t, undefined), true)
  for (const value of [
    '*',
    third,
    `${fourth}, ${third}`,
    `${third},${fourth}`,
    `, ,${fourth} \t,\t ${third},,`,
    `"a,b" , ${third}`,
    `"${other}-9", ${third}, W/"x"`,
    `"", ${third}`,
    `"h\xe9", ${third}`,
  ]) {
    t.equal(passes(t, value), true, value)
  }
  for (const value of [
    fourth,
    `W/${third}`,
    `"${other}-3"`,
    `"${id}-03"`,
    `"${id}-3.0"`,
    `"${id}-+3"`,
    `"${id}-3e0"`,
    `"${id}--3"`,
    `"${id}-"`,
    `"${id}"`,
    `"${id.toUpperCase()}-3"`,
    `"x,${id}-3"`,
    `"${id}-3,"`,
    `"${id}-2147483648"`,
    `"${id}-${'9'.repeat(400)}"`,
    '""',
    '"*"',
    'W/"*"',
  ]) {
    t.equal(passes(t, value), false, value)
  }
})

test('If-None-Match lets pass what it does not name, compared weakly', async t => {
  for (const value of [fourth, `W/${fourth}`, `"${other}-3"`, '"*"', `"x,${id}-3"`, `"${id}-03"`]) {
    t.equal(passes(t, undefined, value), true, value)
    t.equal(namesTag(readPrecondition(undefined, value), third), undefined)
  }
  for (const value of ['*', third, `W/${third}`, `"x", W/${third}`, `${fourth},${third}`]) {
    t.equal(passes(t, undefined, value), false, value)
    t.equal(namesTag(readPrecondition(undefined, value), third), third)
  }
})

test('both have to hold', async t => {
  t.equal(passes(t, third, fourth), true)
  t.equal(passes(t, third, third), false)
  t.equal(passes(t, third, '*'), false)
  t.equal(passes(t, fourth, fourth), false)
  t.equal(passes(t, '*', third), false)
})

test('a statement is given numbers that the database can hold, of this resource only', async t => {
  const precondition = readPrecondition(`${third}, "${other}-5", ${fourth}, "${id}-2147483648"`, 'W/"x"')
  t.strictSame(versionsFor(precondition, id), { only: [3, 4], except: [] })
  t.strictSame(versionsFor(precondition, id.toUpperCase()), { only: [3, 4], except: [] }, 'an id in capitals')
  t.strictSame(versionsFor(readPrecondition(undefined, `W/${third}`), id), { only: null, except: [3] })
  t.strictSame(versionsFor(readPrecondition(undefined, '*'), id), { only: [], except: [] })
  t.strictSame(versionsFor(NO_PRECONDITION, id), { only: null, except: [] })
})

test('what is neither * nor a list of tags does not fit the pattern', async t => {
  for (const value of [
    '',
    ' ',
    ',',
    'x',
    '3',
    '"',
    'W/',
    'W/*',
    'w/"x"',
    'W/ "x"',
    '"x" "y"',
    '"x""y"',
    '"x"y',
    '"a"b"',
    '"a b"',
    '"x", y',
    '*, "x"',
    '"x", *',
    '**',
    "'x'",
    '"x',
    'x"',
    '"x"; q=1',
    '"\x7f"',
    '"x\ny"',
    '"x"\n',
  ]) {
    t.notMatch(value, pattern, JSON.stringify(value))
  }
})

test('a header of the greatest length is read in no time', async t => {
  const size = 128 * 1024
  const hostile = [',', ' ', ' ,', '"",', '"x" ', 'W/""\t,', ' \t'].map(part =>
    part.repeat(size / part.length),
  )
  for (const value of [...hostile, `"${'x'.repeat(size)}`, `""${' '.repeat(size)}x`]) {
    const started = performance.now()
    pattern.test(`${value}!`)
    readPrecondition(value, value)
    t.ok(performance.now() - started < 200, JSON.stringify(value.slice(0, 10)))
  }
})

test('only what has an id and a version has a tag', async t => {
  t.equal(isVersioned({ id, version: 1, name: 'x' }), true)
  for (const value of [null, undefined, 'x', 3, [], { id }, { version: 1 }, { id: 1, version: 1 }]) {
    t.equal(isVersioned(value), false)
  }
  t.equal(isVersioned({ id, version: '1.2.3' }), false)
})

test('a tag of compressed bytes names the same thing', async t => {
  for (const suffix of ['br', 'gz', 'gzip', 'deflate', 'zstd']) {
    const tag = `"${id}-3-${suffix}"`
    t.equal(passes(t, tag), true, tag)
    t.equal(passes(t, undefined, `W/${tag}`), false, tag)
    t.equal(namesTag(readPrecondition(undefined, `"x", W/${tag}`), third), tag, 'as it was named')
  }
  t.equal(passes(t, `"${id}-4-br"`), false)
  // A hash may end like that by itself.
  t.equal(namesTag(readPrecondition(undefined, '"x-br"'), '"x-br"'), '"x-br"')
})

test('a tag of bytes is strong, fits the pattern, and is another for other bytes', async t => {
  const tags = ['', 'x', 'y', '{}'].map(tagOfBytes)
  t.equal(new Set(tags).size, 4)
  for (const tag of tags) t.match(tag, /^"[\w-]{22}"$/)
  t.equal(tagOfBytes(Buffer.from('é')), tagOfBytes('é'))
})
