import fc from 'fast-check'
import { test } from 'tap'
import { type Line, readLines } from '../../src/lib/lines.ts'
import { endless, flat, growth, inPieces, pieceSizes } from './chunks.ts'

const read = (bytes: Buffer | string, sizes?: number[], limit = 1000) =>
  flat(readLines(inPieces(bytes, sizes), limit))

const short = (line: Line) => [line.line, line.text ?? line.fault?.code]

const cases: [string, string | Buffer, unknown[]][] = [
  ['nothing', '', []],
  ['nothing but a mark', '\ufeff', []],
  ['nothing but line ends', '\n\r\n\n', []],
  [
    'a last line without an end',
    'a\nb',
    [
      [1, 'a'],
      [2, 'b'],
    ],
  ],
  [
    'a last line with an end',
    'a\nb\n',
    [
      [1, 'a'],
      [2, 'b'],
    ],
  ],
  [
    'CRLF',
    'a\r\nb\r\n',
    [
      [1, 'a'],
      [2, 'b'],
    ],
  ],
  ['a return inside a line', 'a\rb\r\r\n', [[1, 'a\rb\r']]],
  [
    'blank lines count',
    '\n \t\r\na\n\n\nb',
    [
      [3, 'a'],
      [6, 'b'],
    ],
  ],
  [
    'other spaces are no blanks',
    '\u00a0\n\u2003',
    [
      [1, '\u00a0'],
      [2, '\u2003'],
    ],
  ],
  [
    'a mark at the start alone',
    '\ufeffa\n\ufeffb',
    [
      [1, 'a'],
      [2, '\ufeffb'],
    ],
  ],
  ['two marks', '\ufeff\ufeffa', [[1, '\ufeffa']]],
  [
    'too long',
    `a\n${'x'.repeat(1001)}\nb`,
    [
      [1, 'a'],
      [2, 'too_long'],
      [3, 'b'],
    ],
  ],
  [
    'too long at the end',
    `a\n${'x'.repeat(5000)}`,
    [
      [1, 'a'],
      [2, 'too_long'],
    ],
  ],
  ['as long as may be', 'x'.repeat(1000), [[1, 'x'.repeat(1000)]]],
  [
    'no UTF-8',
    Buffer.from('a\nb\xff\nc\xc3\n\xe2\x82', 'latin1'),
    [
      [1, 'a'],
      [2, 'invalid_utf8'],
      [3, 'invalid_utf8'],
      [4, 'invalid_utf8'],
    ],
  ],
  [
    'a surrogate in raw bytes',
    Buffer.from('\xed\xa0\x80\nb', 'latin1'),
    [
      [1, 'invalid_utf8'],
      [2, 'b'],
    ],
  ],
  [
    'a replacement character is one',
    '\ufffd\n\ufffd\ufffd',
    [
      [1, '\ufffd'],
      [2, '\ufffd\ufffd'],
    ],
  ],
  [
    'one beside bytes that are none',
    Buffer.from('\xef\xbf\xbd\n\xff\n\xef\xbf\xbd\xef\xbf\n\xef\xbf\xbd', 'latin1'),
    [
      [1, '\ufffd'],
      [2, 'invalid_utf8'],
      [3, 'invalid_utf8'],
      [4, '\ufffd'],
    ],
  ],
  [
    'UTF-16',
    Buffer.from('\ufeffa\nb', 'utf16le'),
    [
      [1, 'invalid_utf8'],
      [2, '\0b\0'],
    ],
  ],
]

for (const [name, bytes, expected] of cases) {
  test(`lines: ${name}`, async t => {
    for (const size of [1, 2, 3, 7, 65_536]) {
      t.strictSame((await read(bytes, [size])).map(short), expected, `in pieces of ${size}`)
    }
  })
}

test('however it is cut, the lines are those of a plain split', async () => {
  const text = fc.string({
    unit: fc.oneof(
      fc.constantFrom('\n', '\r\n', '\r', ' ', '\ufffd', '\ufeff', '🎉'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    ),
    maxLength: 80,
  })
  await fc.assert(
    fc.asyncProperty(text, pieceSizes, async (whole, sizes) => {
      const expected = whole
        .replace(/^\ufeff/, '')
        .split('\n')
        .map((line, index) => [index + 1, line.length > 20 ? 'too_long' : line.replace(/\r$/, '')] as const)
        .filter(([, line]) => !/^[ \t\r]*$/.test(line))
      const found = (await read(whole, sizes, 20)).map(short)
      return JSON.stringify(found) === JSON.stringify(expected)
    }),
  )
})

test('whatever the bytes are, each line tells whether it is UTF-8', async () => {
  const byte = fc.oneof(
    fc.constantFrom(0x0a, 0x0a, 0x41, 0xef, 0xbf, 0xbd, 0xc3, 0xa4, 0xf0, 0x9f, 0x8e, 0x89, 0xe2, 0xed, 0xa0),
    fc.nat(255),
  )
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  await fc.assert(
    fc.asyncProperty(fc.array(byte, { maxLength: 60 }), pieceSizes, async (bytes, sizes) => {
      const file = Buffer.from(bytes)
      const expected = splitBytes(file.subarray(file.subarray(0, 3).equals(Buffer.from('\ufeff')) ? 3 : 0))
        .map((line, index) => [index + 1, decodeStrictly(line)])
        .filter(([, text]) => !/^[ \t\r]*$/.test(String(text)))
      const found = (await read(file, sizes)).map(short)
      return JSON.stringify(found) === JSON.stringify(expected)
    }),
    { numRuns: 500 },
  )

  function decodeStrictly(line: Buffer) {
    try {
      return decoder.decode(line).replace(/\r$/, '')
    } catch {
      return 'invalid_utf8'
    }
  }
})

function splitBytes(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let from = 0
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, at))
    from = at + 1
  }
  return [...lines, bytes.subarray(from)]
}

test('a line of 200 MiB is not held', async t => {
  let lines: Line[] = []
  const grown = await growth(async () => {
    lines = await flat(readLines(endless('x', 200 * 1_048_576), 262_144))
  })
  t.strictSame(lines.map(short), [[1, 'too_long']])
  t.ok(grown < 60, `${grown.toFixed()} MiB more`)
})
