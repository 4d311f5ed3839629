import { type CsvRecord, readRecords, STRAY_QUOTE } from './csv-records.ts'
import type { LineFault } from './lines.ts'
import type { ProblemFault } from './problem.ts'
import { ValidationFailed } from './problems.ts'

const FORMULA = '=+\\-@＝＋－＠'

/** What a spreadsheet runs as a formula, or, as TAB, CR and LF, skips before it looks. */
const AT_START = `[${FORMULA}\\t\\r\\n]`

/**
 * Where a spreadsheet separates by semicolons or tabs, a cell of ours begins in the middle for it, and what is a quote to us
 * may be the beginning of a quoted cell.
 */
const WITHIN = '(?<=[;\\t\\r\\n])'

const TO_DEFUSE = new RegExp(`^(?='*${AT_START})|${WITHIN}(?=['"]*[${FORMULA}])`, 'g')
const DEFUSED = new RegExp(`^'(?='*${AT_START})|${WITHIN}'(?=['"]*[${FORMULA}])`, 'g')

/**
 * Puts an apostrophe before what a spreadsheet would run. Also before what looks as if it had been done already, so that
 * `undefuse` gives back every text as it was.
 */
export const defuse = (cell: string) => cell.replace(TO_DEFUSE, "'")

export const undefuse = (cell: string) => cell.replace(DEFUSED, '')

/** Besides what RFC 4180 demands, what some readers take for a separator or trim. */
const TO_QUOTE = /[",;\t\r\n]|^\s|\s$/

/** A row as text, with its line end. Numbers are harmless, whatever they begin with. */
export function csvRow(cells: readonly (string | number | null)[]): string {
  // An only cell that is empty would be an empty line, which is no row.
  if (cells.length === 1 && (cells[0] === '' || cells[0] === null)) return '""\r\n'
  return `${cells.map(csvCell).join(',')}\r\n`
}

function csvCell(value: string | number | null): string {
  if (typeof value !== 'string') return value === null ? '' : String(value)
  const cell = defuse(value)
  return TO_QUOTE.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

interface CsvColumns<Column extends string> {
  columns: readonly Column[]
  required: readonly Column[]
}

/** A row by the names of its columns, and the line of the file on which it begins, from 1. */
export type CsvRow<Column extends string> =
  | { line: number; cells: Partial<Record<Column, string>>; fault?: undefined }
  | { line: number; cells?: undefined; fault: LineFault }

/**
 * The rows of a file below its header, in batches. A faulty row is reported in its place, and reading goes on below it;
 * a header that is at fault is thrown. `limit` is for a row, in UTF-16 units; of a longer one nothing is kept.
 */
export async function* readCsv<Column extends string>(
  chunks: AsyncIterable<Buffer>,
  limit: number,
  known: CsvColumns<Column>,
): AsyncGenerator<CsvRow<Column>[], void> {
  let header: Column[] | undefined
  for await (const batch of readRecords(chunks, limit)) {
    header ??= readHeader(batch.shift(), known)
    const rows: CsvRow<Column>[] = []
    for (const record of batch) rows.push(toRow(record, header))
    if (rows.length > 0) yield rows
  }
  if (header === undefined) readHeader(undefined, known)
}

function readHeader<Column extends string>(
  record: CsvRecord | undefined,
  { columns, required }: CsvColumns<Column>,
): Column[] {
  if (record === undefined) throw headerProblem([['missing_header', 'must begin with a row of column names']])
  if (record.fault) {
    const { code, message } = record.fault
    // Where each cell is quoted and something else separates them.
    const hint = record.fault === STRAY_QUOTE ? '; columns are separated by commas' : ''
    throw headerProblem([[code, `has a first row that ${message}${hint}`]])
  }
  const names = record.cells
  const separator = otherSeparator(names, columns)
  if (separator)
    throw headerProblem([['separator', `must separate columns by commas, and does so by ${separator}`]])
  const isKnown = (name: string): name is Column => (columns as readonly string[]).includes(name)
  const unknown = names.filter(name => !isKnown(name))
  const seen = new Set<string>()
  const repeated = names.filter(name => isKnown(name) && seen.size === seen.add(name).size)
  const missing = required.filter(name => !names.includes(name))
  const faults: [string, string][] = [
    ...[...new Set(unknown)].map(name => ['unknown_column', `has an unknown column ${quoted(name)}`]),
    ...[...new Set(repeated)].map(name => [
      'repeated_column',
      `has the column ${quoted(name)} more than once`,
    ]),
    ...missing.map(name => ['missing_column', `must have a column ${quoted(name)}`]),
  ] as [string, string][]
  if (faults.length > 0) throw headerProblem(faults)
  return names as Column[]
}

/** What the columns are separated by instead: spreadsheets use semicolons where the comma is for decimals. */
function otherSeparator(names: string[], columns: readonly string[]): string | undefined {
  const all = names.join(',')
  return Object.entries({ semicolons: ';', tabs: '\t' }).find(
    ([, separator]) => all.includes(separator) && all.split(separator).some(name => columns.includes(name)),
  )?.[0]
}

const MOST_FAULTS = 50
const LONGEST_NAME = 50

const quoted = (name: string) =>
  JSON.stringify(name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name)

function headerProblem(faults: [code: string, message: string][]) {
  const errors = faults
    .slice(0, MOST_FAULTS)
    .map(([code, message]): ProblemFault => ({ in: 'body', pointer: '', code, message }))
  return new ValidationFailed('The header of the file is not valid.', { errors })
}

function toRow<Column extends string>(record: CsvRecord, header: Column[]): CsvRow<Column> {
  const { line, cells: values, fault } = record
  if (fault) return { line, fault }
  if (values.length !== header.length) {
    const message = `must have ${header.length} cells like the header, and has ${values.length}`
    return { line, fault: { code: 'cell_count', message } }
  }
  const cells: Partial<Record<Column, string>> = {}
  for (const [index, column] of header.entries()) cells[column] = undefuse(values[index] ?? '')
  return { line, cells }
}
