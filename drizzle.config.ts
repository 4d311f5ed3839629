import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  // The columns hold no table; drizzle-kit refuses a list that matches no file, which is so until a domain has tables.
  schema: ['./src/db/columns.ts', './src/*/tables.ts', './src/domains/*/tables.ts'],
  out: './drizzle',
})
