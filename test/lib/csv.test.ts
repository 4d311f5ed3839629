import fc from 'fast-check'
import { test } from 'tap'
import { type CsvRow, csvRow, defuse, readCsv, undefuse } from '../../src/lib/csv.ts'
import type { Problem } from '../../src/lib/problem.ts'
import { endless, flat, growth, inPieces, pieceSizes } from './chunks.ts'

const known = { columns: ['a', 'b', 'c'], required: ['a'] } as const

const read = (bytes: Buffer | string, sizes?: number[], limit = 1000) =>
  flat(readCsv(inPieces(bytes, sizes), limit, known))

const short = ({ line, cells, fault }: CsvRow<'a' | 'b' | 'c'>) => [
  line,
  ...(cells ? Object.values(cells) : [fault?.code]),
]

const long = 'x'.repeat(1001)

/** Below the header `a,b`, so the first line is the second. */
const cases: [string, string | Buffer, unknown[]][] = [
  ['nothing', '', []],
  [
    'a last line without an end',
    '1,2\r\n3,4',
    [
      [2, '1', '2'],
      [3, '3', '4'],
    ],
  ],
  [
    'all kinds of line ends',
    '1,2\r\n3,4\n5,6\r7,8',
    [
      [2, '1', '2'],
      [3, '3', '4'],
      [4, '5', '6'],
      [5, '7', '8'],
    ],
  ],
  [
    'empty lines count',
    '\r\n\n1,2\n\r\r3,4\n\n',
    [
      [4, '1', '2'],
      [7, '3', '4'],
    ],
  ],
  [
    'empty cells',
    ',\n"",""\n"",\n,""',
    [
      [2, '', ''],
      [3, '', ''],
      [4, '', ''],
      [5, '', ''],
    ],
  ],
  ['spaces are part of a cell', ' 1 , 2 ', [[2, ' 1 ', ' 2 ']]],
  [
    'quotes',
    '"1","2"\n"3",4\n5,"6"',
    [
      [2, '1', '2'],
      [3, '3', '4'],
      [4, '5', '6'],
    ],
  ],
  [
    'doubled quotes',
    '"""",""""""\n"a""b","""c"""',
    [
      [2, '"', '""'],
      [3, 'a"b', '"c"'],
    ],
  ],
  ['what else is special, in quotes', '"1,2",";\t"', [[2, '1,2', ';\t']]],
  [
    'line ends in quotes',
    '"1\n2\r\n3\r4",x\n"5",\n6,"\r\n"\n7,8',
    [
      [2, '1\n2\r\n3\r4', 'x'],
      [6, '5', ''],
      [7, '6', '\r\n'],
      [9, '7', '8'],
    ],
  ],
  [
    'too few and too many cells',
    '1\n2,3\n4,5,6\n"7"\n8,9',
    [
      [2, 'cell_count'],
      [3, '2', '3'],
      [4, 'cell_count'],
      [5, 'cell_count'],
      [6, '8', '9'],
    ],
  ],
  [
    'a quote inside a cell',
    '1,2"3\n4,5\n6"",7\n8,9',
    [
      [2, 'stray_quote'],
      [3, '4', '5'],
      [4, 'stray_quote'],
      [5, '8', '9'],
    ],
  ],
  [
    'a space before a quote',
    '1, "2"\n3,4',
    [
      [2, 'stray_quote'],
      [3, '3', '4'],
    ],
  ],
  [
    'text behind a quote',
    '"1"2,3\n4,5',
    [
      [2, 'stray_quote'],
      [3, '4', '5'],
    ],
  ],
  [
    'a space behind a quote',
    '1,"2" \r\n3,4',
    [
      [2, 'stray_quote'],
      [3, '3', '4'],
    ],
  ],
  [
    'a stray quote in the last line',
    '1,2\n3,4"',
    [
      [2, '1', '2'],
      [3, 'stray_quote'],
    ],
  ],
  [
    'a stray quote behind line ends',
    '1,"\n\n"x\n2,3',
    [
      [2, 'stray_quote'],
      [5, '2', '3'],
    ],
  ],
  [
    'a stray quote before a long rest',
    `1,2"${long}"\n3,4`,
    [
      [2, 'stray_quote'],
      [3, '3', '4'],
    ],
  ],
  [
    'an unclosed quote',
    '1,2\n3,"4\n5,6\n7,8\n',
    [
      [2, '1', '2'],
      [3, 'unclosed_quote'],
    ],
  ],
  ['an unclosed quote on a later line', '"1\n2","3\n4', [[3, 'unclosed_quote']]],
  [
    'an unclosed quote at the very end',
    '1,2\n3,"',
    [
      [2, '1', '2'],
      [3, 'unclosed_quote'],
    ],
  ],
  [
    'an unclosed quote before a long rest',
    `1,2\n3,"\n${long}`,
    [
      [2, '1', '2'],
      [3, 'unclosed_quote'],
    ],
  ],
  [
    'too long',
    `1,${long}\n2,3`,
    [
      [2, 'too_long'],
      [3, '2', '3'],
    ],
  ],
  [
    'too long and quoted',
    `1,"\n${long}""\n"\n2,3`,
    [
      [2, 'too_long'],
      [5, '2', '3'],
    ],
  ],
  ['quotes in what is too long count in pairs', `1,${long}"\n2,"3"`, [[3, 'unclosed_quote']]],
  [
    'too long in the last line',
    `1,2\n3,${long}`,
    [
      [2, '1', '2'],
      [3, 'too_long'],
    ],
  ],
  [
    'as long as may be',
    `1,${long.slice(3)}\n2,3`,
    [
      [2, '1', long.slice(3)],
      [3, '2', '3'],
    ],
  ],
  [
    'no UTF-8',
    Buffer.from('1,\xff\n"\xc3\n",2\n\xef\xbf\xbd,3', 'latin1'),
    [
      [2, 'invalid_utf8'],
      [3, 'invalid_utf8'],
      [5, '\ufffd', '3'],
    ],
  ],
  [
    'what was defused',
    "'=1,'2\n''@,'",
    [
      [2, '=1', "'2"],
      [3, "'@", "'"],
    ],
  ],
]

for (const [name, bytes, expected] of cases) {
  test(`csv: ${name}`, async t => {
    const file = Buffer.concat([Buffer.from('\ufeffa,b\r\n'), Buffer.from(bytes)])
    for (const size of [1, 2, 3, 7, 65_536]) {
      t.strictSame((await read(file, [size])).map(short), expected, `in pieces of ${size}`)
    }
  })
}

const headers: [string, string | Buffer, string[]][] = [
  ['nothing', '', ['missing_header: must begin with a row of column names']],
  ['nothing but line ends', '\ufeff\n\r\n', ['missing_header: must begin with a row of column names']],
  ['semicolons', 'a;b\n1;2', ['separator: must separate columns by commas, and does so by semicolons']],
  [
    'semicolons and quotes',
    '"a";"b"\n1;2',
    [
      'stray_quote: has a first row that has a quote inside a cell: quote the whole cell, and double the quotes in it; columns are separated by commas',
    ],
  ],
  ['tabs', 'b\ta\n', ['separator: must separate columns by commas, and does so by tabs']],
  [
    'an unknown column',
    'a,x,x,a b',
    ['unknown_column: has an unknown column "x"', 'unknown_column: has an unknown column "a b"'],
  ],
  ['a repeated column', 'a,b,b,b', ['repeated_column: has the column "b" more than once']],
  ['a missing column', 'b,c', ['missing_column: must have a column "a"']],
  [
    'all at once',
    'b,b,A',
    [
      'unknown_column: has an unknown column "A"',
      'repeated_column: has the column "b" more than once',
      'missing_column: must have a column "a"',
    ],
  ],
  ['a long name', `a,${'x'.repeat(400)}`, [`unknown_column: has an unknown column "${'x'.repeat(50)}…"`]],
  ['an open quote', 'a,"b\n1,2', ['unclosed_quote: has a first row that opens a quote that is never closed']],
  [
    'UTF-16',
    Buffer.from('\ufeffa,b\n', 'utf16le'),
    ['invalid_utf8: has a first row that is not valid UTF-8'],
  ],
  ['too long', 'a,'.repeat(600), ['too_long: has a first row that is too long']],
]

for (const [name, bytes, expected] of headers) {
  test(`csv header: ${name}`, async t => {
    for (const size of [1, 65_536]) {
      const problem = await read(bytes, [size]).then(
        rows => t.fail(`read ${rows.length} rows`),
        (error: Problem) => error,
      )
      const { statusCode, errors = [] } = problem as Problem
      t.equal(statusCode, 400)
      t.strictSame(
        errors.map(({ code, message }) => `${code}: ${message}`),
        expected,
      )
    }
  })
}

test('columns are known by their names, and may be left out', async t => {
  const [row] = await read('c,a\n1,2')
  t.strictSame(row, { line: 2, cells: { c: '1', a: '2' } })
  t.strictSame(await read('\r\n"a"\r\n'), [], 'a header may be quoted, below empty lines, and alone')
})

/** What text is apt to break on, among any other. */
const unit = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '"',
      ',',
      '\n',
      '\r',
      '\r\n',
      "'",
      '=',
      '+',
      '-',
      '@',
      '\t',
      '＝',
      '＋',
      '－',
      '＠',
      ' ',
      ';',
      '\ufeff',
      '\ufffd',
    ),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
)
const cell = fc.string({ unit, maxLength: 8 })

test('what was written is read again, however it is cut', async () => {
  const tables = fc
    .integer({ min: 1, max: 3 })
    .chain(width => fc.array(fc.array(cell, { minLength: width, maxLength: width }), { maxLength: 6 }))
  await fc.assert(
    fc.asyncProperty(tables, pieceSizes, async (table, sizes) => {
      const file = [known.columns.slice(0, table[0]?.length ?? 1), ...table].map(csvRow).join('')
      const rows = await read(file, sizes)
      return JSON.stringify(rows.map(({ cells }) => Object.values(cells ?? {}))) === JSON.stringify(table)
    }),
    { numRuns: 400 },
  )
})

test('whatever is sent, how it is cut makes no difference', async () => {
  const files = fc.string({
    unit: fc.constantFrom('"', '"', ',', '\n', '\r', 'x', 'yyyy', '\ufffd'),
    maxLength: 60,
  })
  await fc.assert(
    fc.asyncProperty(files, pieceSizes, async (file, sizes) => {
      const whole = (await read(`a,b\n${file}`, [65_536], 12)).map(short)
      const cut = (await read(`a,b\n${file}`, sizes, 12)).map(short)
      return JSON.stringify(cut) === JSON.stringify(whole)
    }),
    { numRuns: 2000 },
  )
})

test('no cell begins with what a spreadsheet would run', async () => {
  fc.assert(
    fc.property(cell, text => {
      const defused = defuse(text)
      const runs = /^[=+\-@\t\r\n＝＋－＠]|[;\t\r\n]"*[=+\-@＝＋－＠]/
      return !runs.test(defused) && undefuse(defused) === text
    }),
    { numRuns: 5000 },
  )
})

const written: [string, Parameters<typeof csvRow>[0], string][] = [
  ['as they are', ['a', 'b c', 1.5, null, ''], 'a,b c,1.5,,'],
  ['quoted', ['a,b', 'a"b', 'a\nb', 'a;b', ' a', 'a '], '"a,b","a""b","a\nb","a;b"," a","a "'],
  [
    'defused',
    ['=1', '+1', '-1', '@a', '\ta', '\ra', '\na', '＝1', '＠a'],
    `'=1,'+1,'-1,'@a,"'\ta","'\ra","'\na",'＝1,'＠a`,
  ],
  ['defused once more', ["'=1", "''@", "'a"], "''=1,'''@,'a"],
  // Where semicolons separate, a quote in the middle of a line is a character like any other.
  ['defused within', ['a;=1;b', 'a\n=1', "a;'=1", 'a=1;b-1'], `"a;'=1;b","a\n'=1","a;''=1","a=1;b-1"`],
  ['defused behind a quote', ['a;"=1'], `"a;'""=1"`],
  ['numbers are harmless', [-1], '-1'],
  ['an only cell that is empty', [''], '""'],
  ['an only cell that is null', [null], '""'],
]

for (const [name, cells, expected] of written) {
  test(`cells ${name}`, async t => {
    t.equal(csvRow(cells), `${expected}\r\n`)
  })
}

for (const [name, start] of [
  ['an unquoted', ''],
  ['a quoted', '"'],
] as const) {
  test(`${name} cell of 200 MiB is not held`, async t => {
    let rows: CsvRow<'a' | 'b' | 'c'>[] = []
    async function* file() {
      yield Buffer.from(`a,b\n1,2\n3,${start}`)
      yield* endless('x', 200 * 1_048_576)
      yield Buffer.from(`${start}\n4,5`)
    }
    const grown = await growth(async () => {
      rows = await flat(readCsv(file(), 262_144, known))
    })
    t.strictSame(rows.map(short), [
      [2, '1', '2'],
      [3, 'too_long'],
      [4, '4', '5'],
    ])
    t.ok(grown < 60, `${grown.toFixed()} MiB more`)
  })
}

for (const piece of ['"', '\n', '\r', ',', '"x', '","', '"\n', ',"']) {
  test(`a file of nothing but ${JSON.stringify(piece)} takes no longer than any other`, async t => {
    const started = performance.now()
    const file = Buffer.from(`a,b\n${piece.repeat(2_000_000 / piece.length)}`)
    await flat(readCsv(inPieces(file, [1_048_576]), 262_144, known))
    t.ok(performance.now() - started < 2000, `${(performance.now() - started).toFixed()} ms`)
  })
}
