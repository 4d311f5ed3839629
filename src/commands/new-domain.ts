import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { StartupError } from '../lib/exit-codes.ts'
import { packageRoot } from '../lib/package.ts'
import type { Command } from './command.ts'
import { type DomainNames, domainFiles, registration } from './domain-templates.ts'

const run: Command = async ([name = '']) => {
  const names = domainNames(name)
  if (!existsSync(inTree('src/domains/index.ts'))) {
    throw new StartupError(
      'new-domain writes source code: run it in a checkout, not in an installed package.',
    )
  }
  const files = domainFiles(names)
  const existing = Object.keys(files).filter(path => existsSync(inTree(path)))
  if (existing.length > 0) throw new StartupError(`Already there: ${existing.join(', ')}`)

  for (const [path, text] of Object.entries(files)) write(path, text)
  appendFileSync(inTree('src/domains/index.ts'), registration(names))
  // The tools see the new files only from a process of their own.
  for (const tool of [
    // The list of domains too, which is sorted by path.
    ['biome', 'check', '--write', 'src/domains/index.ts', ...Object.keys(files)],
    ['drizzle-kit', 'generate', '--name', names.snake],
    ['tsx', 'src/cli.ts', 'openapi'],
  ]) {
    execFileSync('npx', ['--no-install', ...tool], {
      cwd: packageRoot,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  process.stdout.write(
    `Written:\n${Object.keys(files)
      .map(path => `  ${path}\n`)
      .join('')}`,
  )
  process.stdout.write(
    `and a migration in drizzle/. Next: \`npx tap test/domains/${names.kebab}.test.ts\`.\n`,
  )
  return 0
}

export default run

const inTree = (path: string) => join(packageRoot, path)

function write(path: string, text: string) {
  mkdirSync(dirname(inTree(path)), { recursive: true })
  writeFileSync(inTree(path), text)
}

function domainNames(name: string): DomainNames {
  if (!/^[a-z]+(-[a-z]+)*s$/.test(name)) {
    throw new StartupError('Name the domain in the plural, in lower case, with hyphens: line-items.')
  }
  const singular = name.replace(/ies$/, 'y').replace(/s$/, '')
  const capitalised = pascalCase(singular)
  return {
    kebab: name,
    snake: name.replaceAll('-', '_'),
    plural: lowerFirst(pascalCase(name)),
    Singular: capitalised,
    event: `${lowerFirst(capitalised)}Created`,
    singular: singular.replaceAll('-', '_'),
    words: singular.replaceAll('-', ' '),
  }
}

const pascalCase = (kebab: string) =>
  kebab.replace(/(?:^|-)([a-z])/g, (_match, letter: string) => letter.toUpperCase())
const lowerFirst = (word: string) => word.charAt(0).toLowerCase() + word.slice(1)
