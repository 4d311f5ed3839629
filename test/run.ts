// `npm test`: makes JavaScript of src and test, in .test, and has tap run it there. Each test file is a process, and
// in a process that loads TypeScript, loading takes longer than most tests. Files are named as they are written:
// npm test -- test/lib/csv.test.ts

import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { packageRoot } from '../src/lib/package.ts'

const target = join(packageRoot, '.test')

/** How a test file is run, and with it the processes that it starts: all of them end too soon to be optimized for. */
const nodeArguments = [
  // Of WebAssembly, the embedded Postgres.
  '--liftoff-only',
  // Of JavaScript, only what is busy for long. Newer versions of Node refuse the option.
  ...(process.version.startsWith('v20.') ? ['--interrupt-budget=1000000'] : []),
]

/** Leaves every import where it is, and lets those of our own files name what they are made into. */
const imports: Plugin = {
  name: 'imports',
  setup: ({ onResolve }) =>
    onResolve({ filter: /./ }, ({ kind, path }) =>
      kind === 'entry-point' ? null : { path: path.replace(/^(\..+)\.ts$/, '$1.js'), external: true },
    ),
}

/** Writes only what is different, so that a run which goes on beside this one is not disturbed. */
async function transpile() {
  const { outputFiles } = await build({
    absWorkingDir: packageRoot,
    entryPoints: ['src/**/*.ts', 'test/**/*.ts'],
    outdir: target,
    outbase: '.',
    format: 'esm',
    platform: 'node',
    target: `node${process.versions.node}`,
    sourcemap: true,
    sourcesContent: false,
    // Without this, imports stay as they are.
    bundle: true,
    treeShaking: false,
    plugins: [imports],
    write: false,
  })
  const existing = new Map(
    readdirSync(target, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map(path => [path, readFileSync(path)]),
  )
  for (const { path, contents } of outputFiles) {
    if (existing.get(path)?.equals(contents) !== true) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, contents)
    }
    existing.delete(path)
  }
  for (const path of existing.keys()) rmSync(path)
}

mkdirSync(target, { recursive: true })
await transpile()

const made = (argument: string) => {
  const path = relative(packageRoot, argument)
  return /^test\b/.test(path) ? join('.test', path.replace(/\.ts$/, '.js')) : argument
}
const tap = join(packageRoot, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')
const options = nodeArguments.map(argument => `--node-arg=${argument}`)
const child = spawn(process.execPath, [tap, ...options, ...process.argv.slice(2).map(made)], {
  stdio: 'inherit',
})
// Ctrl-C reaches tap as well, which then says what was running.
process.on('SIGINT', () => {})
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal ?? 'SIGTERM']
})
