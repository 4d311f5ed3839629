import { test } from 'tap'
import { readRates } from '../../src/lib/rates.ts'

test('rates are read as people write them', async t => {
  t.strictSame(readRates('100/hour'), [{ quota: 100, unit: 'hour', seconds: 3600 }])
  t.strictSame(readRates(' 1 / second;2/minute ; 3/hour; 4/day '), [
    { quota: 1, unit: 'second', seconds: 1 },
    { quota: 2, unit: 'minute', seconds: 60 },
    { quota: 3, unit: 'hour', seconds: 3600 },
    { quota: 4, unit: 'day', seconds: 86_400 },
  ])
})

test('what is no rate, or contradicts itself, is none', async t => {
  const wrong = [
    '',
    ';',
    '100',
    '0/hour',
    '-1/hour',
    '1.5/hour',
    '1e3/hour',
    '100/year',
    '100/hour;',
    '1/hours',
  ]
  for (const text of [...wrong, '5/hour; 10/hour', '1000000000000/hour', 'x/hour', '1/hour, 2/day']) {
    t.equal(readRates(text), undefined, text)
  }
})
