import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// This runs from src/lib, from dist/lib, and in the tests from .test/src/lib.
let root = new URL('../../', import.meta.url)
if (!existsSync(new URL('package.json', root))) root = new URL('../', root)

export const packageRoot = fileURLToPath(root)

export const packageVersion: string = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version
