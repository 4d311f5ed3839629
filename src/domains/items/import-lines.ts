import { type CsvRow, readCsv } from '../../lib/csv.ts'
import { readJson } from '../../lib/json.ts'
import { type Line, type LineFault, readLines } from '../../lib/lines.ts'
import { isText } from '../../lib/text.ts'
import { Item } from './schemas.ts'

/** A line of a file that is to be imported: what it holds, still to be checked, or why it cannot be read. */
export type ImportLine =
  | { line: number; fields: unknown; fault?: undefined }
  | { line: number; fields?: undefined; fault: LineFault }

/** More than any item takes that is within its limits, however it is escaped. */
const LONGEST_LINE = 256 * 1024

/** What an item is answered with, but not made of: left out, so that what was exported can be imported. */
const MADE_ANEW = ['id', 'user_id', 'version', 'created_at', 'updated_at']

export async function* linesOfJson(file: AsyncIterable<Buffer>): AsyncGenerator<ImportLine[], void> {
  for await (const batch of readLines(file, LONGEST_LINE)) yield* inSlices(batch, fromJson)
}

/** Of what was read at once: so many faulty lines take some milliseconds, and others want their turn. */
const LINES_AT_ONCE = 500

function* inSlices<Read>(batch: Read[], toLine: (read: Read) => ImportLine): Generator<ImportLine[], void> {
  for (let from = 0; from < batch.length; from += LINES_AT_ONCE) {
    yield batch.slice(from, from + LINES_AT_ONCE).map(toLine)
  }
}

function fromJson({ line, text, fault }: Line): ImportLine {
  if (fault) return { line, fault }
  const read = readJson(text, 'The line')
  if (read.fault) return { line, fault: { code: read.fault, message: read.message } }
  const fields = read.value
  if (typeof fields === 'object' && fields !== null) {
    for (const name of MADE_ANEW) delete (fields as Record<string, unknown>)[name]
  }
  return { line, fields }
}

const COLUMNS = Object.keys(Item.properties) as (keyof Item)[]

export async function* linesOfCsv(file: AsyncIterable<Buffer>): AsyncGenerator<ImportLine[], void> {
  const known = { columns: COLUMNS, required: ['title'] as const }
  for await (const batch of readCsv(file, LONGEST_LINE, known)) yield* inSlices(batch, fromCsv)
}

function fromCsv({ line, cells, fault }: CsvRow<keyof Item>): ImportLine {
  if (fault) return { line, fault }
  const { title, description, status, price, metadata } = cells
  if (![title, description, metadata].every(cell => cell === undefined || isText(cell))) {
    return { line, fault: { code: 'invalid_text', message: 'contains a NUL character' } }
  }
  // An empty cell says nothing, but for the title, which must say something.
  const fields = { title, ...filled({ description, status, price }) }
  if (!metadata) return { line, fields }
  const read = readJson(metadata, 'metadata')
  if (read.fault) return { line, fault: { code: read.fault, message: read.message } }
  return { line, fields: { ...fields, metadata: read.value } }
}

const filled = (cells: Record<string, string | undefined>) =>
  Object.fromEntries(Object.entries(cells).filter(([, cell]) => cell))
