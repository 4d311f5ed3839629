import { test } from 'tap'
import { acceptedEncoding } from '../../src/lib/accepted-encoding.ts'

const cases: [header: string | undefined, 'br' | 'gzip' | undefined][] = [
  [undefined, undefined],
  ['', undefined],
  ['gzip', 'gzip'],
  ['br', 'br'],
  ['gzip, deflate, br', 'br'],
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip;q=1.0, br;q=0.9', 'gzip'],
  ['br;q=0.5, gzip;q=0.5', 'br'],
  ['BR', 'br'],
  ['GZip;Q=0.5', 'gzip'],
  ['x-gzip', 'gzip'],
  ['\tgzip ; q=0.2 ,', 'gzip'],
  ['*', 'br'],
  ['*;q=0', undefined],
  ['gzip, *;q=0', 'gzip'],
  ['br;q=0, *', 'gzip'],
  ['br;q=0', undefined],
  ['br;q=0.000, gzip;q=0', undefined],
  ['deflate', undefined],
  ['zstd, deflate', undefined],
  ['identity', undefined],
  ['identity;q=0', undefined],
  ['identity;q=0, gzip', 'gzip'],
  ['identity, gzip;q=0.5', undefined],
  ['identity;q=0.5, gzip;q=0.5', 'gzip'],
  ['br;q=x, gzip', 'gzip'],
  ['br;q=1.5', undefined],
  ['br;q=0.1234', undefined],
  ['br;level=4', undefined],
  [';;,,=q', undefined],
  ['gzip br', undefined],
  [`gzip, ${'x, '.repeat(1000)}`, undefined],
]

test('the encoding that a caller wants most', async t => {
  for (const [header, wanted] of cases) {
    t.equal(acceptedEncoding(header), wanted, String(header))
    t.equal(acceptedEncoding(header), wanted, `${header}, again`)
  }
})

test('whoever makes up headers does not fill the memory, nor change what others get', async t => {
  for (let count = 0; count < 1000; count++) t.equal(acceptedEncoding(`x-${count}, gzip`), 'gzip')
  t.equal(acceptedEncoding('gzip, br'), 'br')
})
