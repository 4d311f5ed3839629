import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { sql } from 'drizzle-orm'
import { type Test, test } from 'tap'
import type { App } from '../../src/app.ts'
import itemsCommand, { describeImport, exportOf, importInto } from '../../src/commands/items.ts'
import { databaseVariables } from '../database.ts'
import { anItem, eventsOf, send } from '../domains/items/calls.ts'
import {
  exportFile,
  FORMATS,
  type Format,
  givenOf,
  importFile,
  manyItems,
  ndjson,
  rowsOf,
} from '../domains/items/files.ts'
import { aUser, build } from '../helper.ts'
import { filesOpenAs } from '../lib/open-files.ts'
import { run } from '../processes.ts'
import { temporaryDirectory } from '../temporary-directory.ts'

const NOTHING = Readable.from([])

const FULL = { title: 'Désk 😀', description: '=1+1, "b"\r\nc', price: 7, metadata: { color: 'ä "q"' } }

/** Each in its own way at fault, between two that are not. */
const faulty: Record<Format, string> = {
  ndjson: ndjson([
    { title: 'first' },
    { title: '', price: '1.234' },
    { title: 'x', colour: 'red' },
    { title: 'x', metadata: [] },
    'x',
  ]).concat('{\n', ndjson([{ title: 'last', metadata: { a: 1 } }])),
  csv: 'title,price,metadata\nfirst,,\n,1,\nx,1.234,\nx,1,[]\nx,1,{\nx\nlast,1,"{""a"":1}"\n',
}

function fileOf(t: Test, name: string, content: string) {
  const file = join(temporaryDirectory(t), name)
  writeFileSync(file, content)
  return file
}

const importPiped = (app: App, email: string, format: Format, content: string, dry_run = false) =>
  importInto(app.accounts, email, { file: '-', format, dry_run }, Readable.from([Buffer.from(content)]))

const openSpools = () => filesOpenAs('.upload').length

test('an export is the same as over HTTP', async t => {
  const app = await build(t)
  const { id, email, headers } = await aUser(app)
  // More than one batch, of which the last is not full.
  await manyItems(app, id, 501)
  await anItem(app, headers, FULL)
  const gone = await anItem(app, headers, { title: 'planted' })
  await send(app, 'DELETE', `/${gone.id}`, headers)
  await anItem(app, (await aUser(app)).headers, { title: 'planted' })
  for (const format of FORMATS) {
    const { body } = await exportFile(app, headers, { format })
    t.equal(await text(await exportOf(app.accounts, email.toUpperCase(), format)), body)
    t.ok(body.split('\n').length > 502)
    t.notMatch(body, 'planted')
  }
})

test('an import tells, stores and records the same as over HTTP', async t => {
  const app = await build(t)
  for (const format of FORMATS) {
    const content = faulty[format]
    const over = await aUser(app)
    const expected = (await importFile(app, over.headers, format, content)).json()
    t.match(expected, { imported: 2, failed: 5 })
    const file = fileOf(t, `items.${format}`, content)
    const ways = {
      file: (email: string) => importInto(app.accounts, email, { file, format, dry_run: false }, NOTHING),
      pipe: (email: string) => importPiped(app, email, format, content),
    }
    for (const [way, importBy] of Object.entries(ways)) {
      const { id, email } = await aUser(app)
      t.strictSame(await importBy(email), expected, `${format} by ${way}`)
      t.strictSame((await rowsOf(app, id)).map(givenOf), (await rowsOf(app, over.id)).map(givenOf))
      const events = await eventsOf(app, id)
      t.match(events, [
        { type: 'item.imported', actor_type: 'system', actor_id: null, owner_id: id, subject_id: null },
      ])
      t.equal(events.length, 1)
      t.strictSame(events[0]?.changes, (await eventsOf(app, over.id))[0]?.changes)
    }
  }
  t.equal(openSpools(), 0)
})

test('what was exported can be imported', async t => {
  const app = await build(t)
  const from = await aUser(app)
  await anItem(app, from.headers, FULL)
  for (const format of FORMATS) {
    const { id, email } = await aUser(app)
    const exported = await text(await exportOf(app.accounts, from.email, format))
    t.strictSame(await importPiped(app, email, format, exported), { imported: 1, failed: 0, errors: [] })
    t.strictSame((await rowsOf(app, id)).map(givenOf), (await rowsOf(app, from.id)).map(givenOf))
  }
})

test('a dry run finds the same and leaves nothing', async t => {
  const app = await build(t)
  const { id, email } = await aUser(app)
  for (const format of FORMATS) {
    const dry = await importPiped(app, email, format, faulty[format], true)
    t.strictSame([await rowsOf(app, id), await eventsOf(app, id)], [[], []])
    const other = await aUser(app)
    t.strictSame(dry, await importPiped(app, other.email, format, faulty[format]))
  }
})

test('a transaction that the database ends is run again, from the first line', async t => {
  const app = await build(t)
  const { db } = app.database
  await db.execute(sql`create sequence attempts`)
  await db.execute(sql`
    create function fail_once() returns trigger language plpgsql as $$ begin
      if nextval('attempts') % 2 = 1 then raise exception 'deadlock' using errcode = '40P01'; end if;
      return new;
    end $$`)
  await db.execute(sql`
    create trigger fail_once before insert on items for each row when (new.title = 'again')
    execute function fail_once()`)
  const content = ndjson([{ title: 'first' }, { title: 'again' }, { title: 'last' }])
  const file = fileOf(t, 'items.jsonl', content)
  for (const source of [file, '-']) {
    const { id, email } = await aUser(app)
    const given = { file: source, format: 'ndjson', dry_run: false } as const
    const result = await importInto(app.accounts, email, given, Readable.from([Buffer.from(content)]))
    t.strictSame(result, { imported: 3, failed: 0, errors: [] })
    t.equal((await rowsOf(app, id)).length, 3)
    t.equal((await eventsOf(app, id)).length, 1)
  }
  await db.execute(sql`drop trigger fail_once on items`)
})

test('nothing is read for nobody, and what cannot be read is told', async t => {
  const app = await build(t)
  const { accounts } = app
  const { email } = await aUser(app)
  const message = 'There is no user with the e-mail nobody@example.com.'
  await t.rejects(exportOf(accounts, 'nobody@example.com', 'csv'), { message, exitCode: 1 })
  const untouched = Readable.from([Buffer.from('x')])
  const piped = { file: '-', format: 'ndjson', dry_run: false } as const
  await t.rejects(importInto(accounts, 'nobody@example.com', piped, untouched), { message, exitCode: 1 })
  t.notOk(untouched.readableDidRead)

  const directory = temporaryDirectory(t)
  mkdirSync(join(directory, 'inner.csv'))
  const refused = (file: string, message: string) =>
    t.rejects(importInto(accounts, email, { ...piped, file }, NOTHING), { message, exitCode: 1 })
  const absent = join(directory, 'absent.csv')
  await refused(absent, `The file ${absent} cannot be read (ENOENT).`)
  const inner = join(directory, 'inner.csv')
  await refused(inner, `${inner} is a directory, not a file.`)
})

test('a result is a line, and a line for each fault, without what a terminal takes for commands', t => {
  const errors = [{ line: 3, code: 'validation_failed', message: 'a\u001b[2J\nb is not a known field' }]
  t.equal(
    describeImport({ imported: 2, failed: 1, errors }, false),
    'imported 2, failed 1\nline 3: validation_failed: a?[2J?b is not a known field\n',
  )
  t.equal(
    describeImport({ imported: 2, failed: 0, errors: [] }, true),
    'imported 2, failed 0 (a dry run: nothing was stored)\n',
  )
  t.end()
})

test('wrong words are a usage error', async t => {
  const calls = [
    [],
    ['frobnicate', 'a@example.com'],
    ['export'],
    ['export', ''],
    ['export', 'a@example.com', 'b@example.com'],
    ['export', 'a@example.com', '--format', 'xml'],
    ['import'],
    ['import', 'a@example.com', ''],
    ['import', 'a@example.com', 'a.csv', 'b.csv'],
    ['import', 'a@example.com', 'a.txt'],
    ['import', 'a@example.com', 'a.csv', '--format', 'CSV'],
  ]
  for (const args of calls) {
    await t.rejects(async () => itemsCommand(args), { message: /\.$/, exitCode: 64 }, args.join(' '))
  }
  const unknown = ['export', 'a@example.com', '--dry-run']
  await t.rejects(async () => itemsCommand(unknown), { code: /^ERR_PARSE_ARGS/ })
})

test('on the command line, faults are the exit code, and a pipe that is closed is no fault', async t => {
  const variables = await databaseVariables(t)
  const plinth = async (words: string, input = '') => {
    const { child, exit, output } = run(t, 'src/cli.ts', variables, words.split(' '))
    child.stdin?.end(input)
    return { code: (await exit).code, output: output() }
  }
  t.equal((await plinth('create-admin root@example.com', 'correct horse battery\n')).code, 0)

  const file = fileOf(t, 'items.CSV', 'title,price\nfirst,1\n,1\n')
  t.strictSame(await plinth(`items import root@example.com ${file}`), {
    code: 1,
    output: 'imported 1, failed 1\nline 3: validation_failed: title must NOT have fewer than 1 characters',
  })
  t.strictSame(await plinth('items import Root@example.com', ndjson([{ title: 'second' }])), {
    code: 0,
    output: 'imported 1, failed 0',
  })
  t.strictSame(await plinth('items import root@example.com - --format csv', 'colour\nred\n'), {
    code: 1,
    output:
      'The header of the file is not valid: has an unknown column "colour"; must have a column "title".',
  })

  const closed = run(t, 'src/cli.ts', variables, ['items', 'export', 'root@example.com'])
  closed.child.stdout?.destroy()
  t.match(await closed.exit, { code: 0 })
  t.equal(closed.output(), '')
})
