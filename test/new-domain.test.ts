import { execFile } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { packageRoot } from '../src/lib/package.ts'
import { run, temporaryDirectory } from './processes.ts'

const execute = promisify(execFile)

/** A copy of the tree, in which the generator may write. */
function checkout(t: Test): string {
  const directory = temporaryDirectory(t)
  for (const name of [
    'src',
    'drizzle',
    'test/helper.ts',
    'test/database.ts',
    'test/temporary-directory.ts',
    'test/openapi.test.ts',
    'test/tsconfig.json',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'drizzle.config.ts',
    'biome.json',
    'openapi.json',
    '.gitignore',
    '.taprc',
  ]) {
    cpSync(join(packageRoot, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(packageRoot, 'node_modules'), join(directory, 'node_modules'))
  return directory
}

test('a new domain compiles, passes its test, and is in the document', { timeout: 180_000 }, async t => {
  const directory = checkout(t)
  const bin = (name: string, ...args: string[]) =>
    execute(join(directory, 'node_modules', '.bin', name), args, {
      cwd: directory,
      env: { ...process.env, TAP_CHILD_ID: undefined, TAP: undefined } as NodeJS.ProcessEnv,
    })

  const { stdout } = await bin('tsx', 'src/cli.ts', 'new-domain', 'line-items')
  t.match(stdout, 'src/domains/line-items/index.ts')
  t.match(
    readFileSync(join(directory, 'src/domains/index.ts'), 'utf8'),
    `export { default as lineItems } from './line-items/index.ts'`,
  )
  t.ok(JSON.parse(readFileSync(join(directory, 'openapi.json'), 'utf8')).paths['/api/v1/line-items/{id}'])

  await bin('tsc', '--noEmit')
  await bin('biome', 'check', '--error-on-warnings', '--vcs-enabled=false', 'src', 'test')
  const own = await execute(process.execPath, ['--import=tsx', 'test/domains/line-items.test.ts'], {
    cwd: directory,
  })
  t.match(own.stdout, /^ok 1 - a line item is made and read/m)
  t.notMatch(own.stdout, /not ok/)

  await t.rejects(bin('tsx', 'src/cli.ts', 'new-domain', 'line-items'), /Already there/)
})

test('a name must be a plural in lower case', async t => {
  for (const name of ['', 'Notes', 'note', 'line_items', '../evils']) {
    const generator = run(t, 'src/cli.ts', { DATA_DIR: temporaryDirectory(t) }, ['new-domain', name])
    t.equal((await generator.exit).code, 1, name)
    t.match(generator.output(), /Name the domain in the plural/)
  }
})
