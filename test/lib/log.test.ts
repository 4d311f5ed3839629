import { test } from 'tap'
import { describeError } from '../../src/lib/log.ts'

test('an error is told with its causes and frames', t => {
  const error = new Error('outer', { cause: new TypeError('inner') })
  const description = describeError(error)
  t.match(description, { type: 'Error', message: 'outer', cause: { type: 'TypeError', message: 'inner' } })
  t.ok(description.stack.length > 0)
  t.ok(description.stack.every(line => line.startsWith('at ')))
  t.end()
})

test('the values that people sent are not', t => {
  const query = Object.assign(
    new Error('Failed query: select $1\nparams: planted\n    at planted (planted.ts:1:1)'),
    {
      query: 'select $1',
      params: ['planted'],
      cause: Object.assign(new Error('invalid input syntax for type uuid: "planted "quoted" planted"'), {
        code: '22P02',
        detail: 'Key (email)=(planted) already exists.',
        where: 'planted',
        hint: 'planted',
        constraint_name: 'users_email_key',
      }),
    },
  )
  t.notMatch(JSON.stringify(describeError(query)), /planted/)
  t.match(describeError(query), {
    message: 'Failed query: select $1',
    cause: {
      code: '22P02',
      constraint: 'users_email_key',
      message: 'invalid input syntax for type uuid: "…"',
    },
  })
  let parsing: unknown
  try {
    JSON.parse('{"password":"planted"')
    JSON.parse('planted')
  } catch (error) {
    parsing = error
  }
  t.notMatch(JSON.stringify(describeError(parsing)), /planted/)
  t.end()
})

test('names that Postgres quotes stay readable', t => {
  const missing = Object.assign(new Error('relation "items" does not exist'), { code: '42P01' })
  t.equal(describeError(missing).message, 'relation "items" does not exist')
  t.end()
})

test('something other than an error is not printed', t => {
  t.strictSame(describeError('planted'), {
    type: 'string',
    message: 'Something other than an error was thrown.',
    stack: [],
  })
  t.end()
})
