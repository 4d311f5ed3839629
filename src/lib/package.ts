import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// src/lib and dist/lib are equally deep, so this holds for both.
const root = new URL('../../', import.meta.url)

export const packageRoot = fileURLToPath(root)

export const packageVersion: string = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version
