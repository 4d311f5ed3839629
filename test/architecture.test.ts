import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'tap'
import ts from 'typescript'
import { packageRoot } from '../src/lib/package.ts'

// The import rules of src/README.md, and what the compiler and the linter cannot see.

const source = join(packageRoot, 'src')

interface SourceFile {
  /** Relative to src. */
  path: string
  tree: ts.SourceFile
  imports: string[]
}

function parse(path: string, text: string): SourceFile {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: string[] = []
  visit(tree, node => {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined
    if (specifier && ts.isStringLiteral(specifier) && specifier.text.startsWith('.')) {
      imports.push(relative(source, resolve(source, dirname(path), specifier.text)))
    }
  })
  return { path, tree, imports }
}

function visit(node: ts.Node, look: (node: ts.Node) => void) {
  look(node)
  ts.forEachChild(node, child => visit(child, look))
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .map(path => parse(path, readFileSync(join(source, path), 'utf8')))

/** Each room may import from the rooms on its right, and from itself. */
const layers: Record<string, string[]> = {
  lib: [],
  'config.ts': ['lib'],
  db: ['config.ts', 'lib'],
  redis: ['config.ts', 'lib'],
  'rate-limits': ['config.ts', 'lib', 'redis'],
  events: ['config.ts', 'db', 'lib'],
  cache: ['db', 'events', 'lib', 'redis'],
  jobs: ['config.ts', 'db', 'lib'],
  idempotency: ['config.ts', 'db', 'jobs', 'lib'],
  mail: ['config.ts', 'db', 'jobs', 'lib'],
  accounts: ['config.ts', 'db', 'events', 'jobs', 'lib', 'mail'],
  plugins: [
    'cache',
    'config.ts',
    'db',
    'events',
    'idempotency',
    'jobs',
    'lib',
    'mail',
    'rate-limits',
    'redis',
  ],
  domains: ['accounts', 'cache', 'config.ts', 'db', 'events', 'jobs', 'lib', 'mail', 'plugins', 'redis'],
  'background.ts': ['accounts', 'config.ts', 'db', 'domains', 'idempotency', 'jobs', 'mail'],
  'kept.ts': ['cache', 'config.ts', 'db', 'domains', 'redis'],
  'prepare.ts': ['background.ts', 'db', 'events', 'jobs'],
  'work.ts': ['background.ts', 'config.ts', 'db', 'jobs'],
  'app.ts': [
    'accounts',
    'background.ts',
    'config.ts',
    'db',
    'domains',
    'jobs',
    'kept.ts',
    'lib',
    'mail',
    'plugins',
    'redis',
  ],
  'process.ts': ['config.ts', 'lib'],
  'server.ts': ['app.ts', 'config.ts', 'db', 'lib', 'prepare.ts', 'process.ts', 'redis', 'work.ts'],
  'worker.ts': ['db', 'kept.ts', 'lib', 'prepare.ts', 'process.ts', 'work.ts'],
  'cluster.ts': ['lib', 'process.ts', 'server.ts'],
  commands: [
    'accounts',
    'app.ts',
    'background.ts',
    'config.ts',
    'db',
    'domains',
    'jobs',
    'kept.ts',
    'lib',
    'mail',
    'prepare.ts',
    'redis',
  ],
  'cli.ts': ['commands', 'config.ts', 'db', 'lib'],
}

const room = (path: string) => path.split('/', 1)[0] ?? path

function breaches({ path, imports }: SourceFile): string[] {
  const own = room(path)
  const allowed = layers[own]
  if (allowed === undefined) return [`${path} is in no known room`]
  return imports
    .filter(target => room(target) !== own && !allowed.includes(room(target)))
    .map(target => `${path} imports ${target}`)
}

/** A domain sees another through its `public.ts`; tables may refer to tables. */
function domainBreaches({ path, imports }: SourceFile): string[] {
  const [, own, file] = path.match(/^domains\/([^/]+)\/(.+)$/) ?? []
  if (own === undefined) return []
  return imports
    .filter(target => {
      const [, other, entered] = target.match(/^domains\/([^/]+)\/(.+)$/) ?? []
      if (other === undefined || other === own) return false
      return entered !== 'public.ts' && !(entered === 'tables.ts' && file === 'tables.ts')
    })
    .map(target => `${path} imports ${target}`)
}

function lines(file: SourceFile, found: (node: ts.Node) => boolean): string[] {
  const result: string[] = []
  visit(file.tree, node => {
    if (found(node))
      result.push(`${file.path}:${file.tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`)
  })
  return result
}

const isProcessMember = (name: string) => (node: ts.Node) =>
  ts.isPropertyAccessExpression(node) && node.expression.getText() === 'process' && node.name.text === name

/** Uses of the name `db` inside the callback of a transaction: there, everything must go through `tx`. */
function poolInTransaction(file: SourceFile): string[] {
  const result: string[] = []
  visit(file.tree, node => {
    if (!ts.isCallExpression(node) || !/(^|\.)(transaction|inTransaction)$/.test(node.expression.getText()))
      return
    for (const callback of node.arguments.filter(argument => ts.isArrowFunction(argument))) {
      result.push(
        ...lines({ ...file, tree: file.tree }, inner => {
          const inside = inner.pos >= callback.body.pos && inner.end <= callback.body.end
          return inside && ts.isIdentifier(inner) && inner.text === 'db'
        }),
      )
    }
  })
  return result
}

test('imports go one way', t => {
  t.ok(files.length > 30)
  t.strictSame(files.flatMap(breaches), [])
  t.strictSame(files.flatMap(domainBreaches), [])
  t.end()
})

test('there is no cycle', t => {
  const graph = new Map(files.map(file => [file.path, file.imports]))
  const done = new Set<string>()
  const cycles: string[] = []
  const walk = (path: string, trail: string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
    if (trail.includes(path) || done.has(path)) return
    for (const target of graph.get(path) ?? []) walk(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  t.strictSame(cycles, [])
  t.end()
})

test('config.ts alone reads the environment', t => {
  const readers = files
    .filter(file => file.path !== 'config.ts')
    .flatMap(file => lines(file, isProcessMember('env')))
  t.strictSame(readers, [])
  t.end()
})

test('only the entries end the process', t => {
  const entries = ['process.ts', 'server.ts', 'cluster.ts', 'cli.ts']
  const enders = files
    .filter(file => !entries.includes(file.path))
    .flatMap(file => lines(file, isProcessMember('exit')))
  t.strictSame(enders, [])
  t.end()
})

test('inside a transaction the pool is not used', t => {
  t.strictSame(files.flatMap(poolInTransaction), [])
  t.end()
})

test('routes of a domain do not touch tables', t => {
  const touching = files
    .filter(({ path }) => /^domains\/[^/]+\/(index\.ts|routes\/)/.test(path))
    .flatMap(({ path, imports }) =>
      imports.filter(target => target.endsWith('/tables.ts')).map(target => `${path} imports ${target}`),
    )
  t.strictSame(touching, [])
  t.end()
})

test('these rules see what they are for', t => {
  t.strictSame(breaches(parse('lib/x.ts', `import '../db/types.ts'`)), ['lib/x.ts imports db/types.ts'])
  t.strictSame(breaches(parse('plugins/x.ts', `export * from '../domains/index.ts'`)), [
    'plugins/x.ts imports domains/index.ts',
  ])
  t.strictSame(breaches(parse('db/x.ts', `await import('../app.ts')`)), ['db/x.ts imports app.ts'])
  t.strictSame(breaches(parse('attic/x.ts', '')), ['attic/x.ts is in no known room'])
  t.strictSame(
    domainBreaches(parse('domains/a/index.ts', `import '../b/queries.ts'; import '../b/public.ts'`)),
    ['domains/a/index.ts imports domains/b/queries.ts'],
  )
  t.strictSame(domainBreaches(parse('domains/a/tables.ts', `import '../b/tables.ts'`)), [])
  t.strictSame(
    poolInTransaction(
      parse('x.ts', 'f(db)\ninTransaction(db, async tx => {\n  await g(tx)\n  await g(db)\n})'),
    ),
    ['x.ts:4'],
  )
  t.strictSame(lines(parse('x.ts', 'process.env.X'), isProcessMember('env')), ['x.ts:1'])
  t.end()
})
