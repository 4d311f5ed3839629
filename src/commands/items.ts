import { createReadStream } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import { extname } from 'node:path'
import type { Readable } from 'node:stream'
import { parseArgs } from 'node:util'
import type { Accounts } from '../accounts/accounts.ts'
import { exportItems, type Format } from '../domains/items/export.ts'
import { checkOfLines, importItems } from '../domains/items/import.ts'
import { linesOfCsv, linesOfJson } from '../domains/items/import-lines.ts'
import type { ItemImport } from '../domains/items/import-schemas.ts'
import { sortedItems } from '../domains/items/schemas.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { spool } from '../lib/spool.ts'
import { printable } from '../lib/text.ts'
import type { Command } from './command.ts'
import { printLines } from './print-lines.ts'
import { demandUser, usingAccounts } from './with-accounts.ts'

const run: Command = ([action, ...args]) => {
  if (action === 'export') return runExport(args)
  if (action === 'import') return runImport(args)
  throw new StartupError(
    'Say what to do: plinth items export EMAIL, or plinth items import EMAIL [FILE].',
    EXIT_USAGE,
  )
}

export default run

function runExport(args: string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: { format: { type: 'string', default: 'ndjson' } },
  })
  const [email = '', ...others] = positionals
  if (email === '' || others.length > 0) {
    throw new StartupError('Say whose items: plinth items export EMAIL.', EXIT_USAGE)
  }
  const format = readFormat(values.format)
  return usingAccounts(async accounts => {
    await printLines(await exportOf(accounts, email, format))
    return 0
  })
}

function readFormat(text: string): Format {
  if (text === 'ndjson' || text === 'csv') return text
  throw new StartupError('The format is ndjson or csv.', EXIT_USAGE)
}

/** As over HTTP, where nothing else is asked for. */
export async function exportOf(accounts: Accounts, email: string, format: Format): Promise<Readable> {
  const { id } = await demandUser(accounts, email)
  const { sort_by, sort_dir } = sortedItems.parameters
  const order = { sort_by: sort_by.default, sort_dir: sort_dir.default }
  return exportItems(accounts.database.db, { user_id: id }, order, format)
}

const STANDARD_INPUT = '-'

function runImport(args: string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: { format: { type: 'string' }, 'dry-run': { type: 'boolean', default: false } },
  })
  const [email = '', file = STANDARD_INPUT, ...others] = positionals
  if (email === '' || file === '' || others.length > 0) {
    throw new StartupError('Say for whom, and from where: plinth items import EMAIL [FILE].', EXIT_USAGE)
  }
  const dry_run = values['dry-run']
  const format = values.format === undefined ? formatOf(file) : readFormat(values.format)
  return usingAccounts(async accounts => {
    const result = await importInto(accounts, email, { file, format, dry_run })
    process.stdout.write(describeImport(result, dry_run))
    return result.failed === 0 ? 0 : 1
  })
}

/** What is piped is taken for what an export writes unless told otherwise. */
function formatOf(file: string): Format {
  const ending = extname(file).toLowerCase()
  if (file === STANDARD_INPUT || ending === '.ndjson' || ending === '.jsonl') return 'ndjson'
  if (ending === '.csv') return 'csv'
  throw new StartupError(
    `The name ${file} does not tell its format: say --format ndjson, or csv.`,
    EXIT_USAGE,
  )
}

interface Given {
  file: string
  format: Format
  dry_run: boolean
}

export async function importInto(
  accounts: Accounts,
  email: string,
  { file, format, dry_run }: Given,
  input: AsyncIterable<Buffer> = process.stdin,
): Promise<ItemImport> {
  // First, so that nobody pipes in vain.
  const { id } = await demandUser(accounts, email)
  const source = await openSource(file, input)
  const readLines = format === 'csv' ? linesOfCsv : linesOfJson
  const settings = { actor: systemActor(), user_id: id, dry_run, check: checkOfLines() }
  try {
    return await importItems(accounts.database.db, settings, () => readLines(source.read()))
  } finally {
    await source.close()
  }
}

interface Source {
  /** From the start, any number of times: a transaction may be run again. */
  read(): AsyncIterable<Buffer>
  close(): Promise<void>
}

/** Of what can be read only once. It lies on the disk meanwhile, which a pipe without an end must not fill. */
const MOST_BYTES = 10 * 1024 ** 3

async function openSource(file: string, input: AsyncIterable<Buffer>): Promise<Source> {
  const isPlain = file !== STANDARD_INPUT && (await demandReadable(file)).isFile()
  if (isPlain) return { read: () => createReadStream(file), close: async () => {} }
  // A file may be a pipe, too, as the shell's `<(…)` is.
  const arriving = file === STANDARD_INPUT ? input : createReadStream(file)
  const spooled = await spool(arriving, { limit: MOST_BYTES })
  return { read: () => spooled, close: spooled.close }
}

async function demandReadable(file: string) {
  const [kind] = await Promise.all([stat(file), access(file, constants.R_OK)]).catch(cause => {
    throw new StartupError(`The file ${file} cannot be read (${cause.code}).`, 1, cause)
  })
  if (kind.isDirectory()) throw new StartupError(`${file} is a directory, not a file.`)
  return kind
}

export function describeImport({ imported, failed, errors }: ItemImport, dry_run: boolean): string {
  const lines = [
    `imported ${imported}, failed ${failed}${dry_run ? ' (a dry run: nothing was stored)' : ''}`,
    ...errors.map(({ line, code, message }) => `line ${line}: ${code}: ${message}`),
  ]
  // Anybody may have written the file, whose names are told.
  return lines.map(line => `${printable(line)}\n`).join('')
}
