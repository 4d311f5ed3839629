import { parseList } from 'structured-headers'
import { test } from 'tap'
import { limitField, policyField } from '../../src/rate-limits/fields.ts'
import { policiesOf } from '../../src/rate-limits/policies.ts'

const policies = policiesOf('standard', '5000/hour; 10/second')

test('the fields are lists of strings with parameters', async t => {
  t.equal(policyField(policies), '"standard-per-hour";q=5000;w=3600, "standard-per-second";q=10;w=1')
  t.strictSame(parseList(policyField(policies)), [
    ['standard-per-hour', new Map(Object.entries({ q: 5000, w: 3600 }))],
    ['standard-per-second', new Map(Object.entries({ q: 10, w: 1 }))],
  ])
  const counts = [
    { used: 1, resets_in_ms: 3_599_000.2 },
    { used: 12, resets_in_ms: 0.5 },
  ]
  t.strictSame(parseList(limitField(policies, counts)), [
    ['standard-per-hour', new Map(Object.entries({ r: 4999, t: 3600 }))],
    ['standard-per-second', new Map(Object.entries({ r: 0, t: 1 }))],
  ])
})

test('a single policy has the plain name', async t => {
  t.equal(policyField(policiesOf('login', '10/minute')), '"login";q=10;w=60')
})
