import { rename, rm } from 'node:fs/promises'
import { createEmpty, templateDirectory } from './embedded.ts'

// Run by `npm run build`, so that the first start need not make a database from nothing.
const unfinished = `${templateDirectory}.new`
await rm(unfinished, { recursive: true, force: true })
await createEmpty(unfinished)
await rm(templateDirectory, { recursive: true, force: true })
await rename(unfinished, templateDirectory)
