import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { packageRoot } from '../src/lib/package.ts'

const read = (path: string) => readFileSync(join(packageRoot, path), 'utf8')
const documents = ['README.md', 'src/README.md', 'docs/dependencies.md', 'bench/README.md']

/** Blocks that something other than `.ci/run` proves. */
const provedElsewhere: Record<string, string> = {
  'new-domain': 'test/new-domain.test.ts',
}

test('every command of the README is run by .ci/run or by a test', t => {
  const ci = read('.ci/run')
  const names = [...read('README.md').matchAll(/^```sh(.*)$/gm)].map(([, name = '']) => name.trim())
  t.ok(names.length >= 6)
  for (const name of names) {
    const proof = provedElsewhere[name]
    t.ok(proof ? existsSync(join(packageRoot, proof)) : ci.includes(`readme ${name}`), `block "${name}"`)
  }
  t.end()
})

test('the scripts and files that the documents name exist', t => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const document of documents) {
    const text = read(document)
    for (const [, script = ''] of text.matchAll(/npm run (?:--silent )?([a-z][a-z:-]*)/g)) {
      t.ok(script in scripts, `${document}: npm run ${script}`)
    }
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      t.ok(existsSync(join(packageRoot, document, '..', target)), `${document}: ${target}`)
    }
  }
  t.end()
})
