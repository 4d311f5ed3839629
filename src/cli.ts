#!/usr/bin/env node
import type { Command } from './commands/command.ts'
import { isConnectionFailure } from './db/errors.ts'
import { EXIT_UNAVAILABLE, EXIT_USAGE, StartupError } from './lib/exit-codes.ts'
import { isMain } from './lib/is-main.ts'

interface Entry {
  usage: string
  summary: string
  /** Loaded when it is needed: `help` should not have to open a database driver. */
  load: () => Promise<{ default: Command }>
}

export const commands: Record<string, Entry> = {
  migrate: {
    usage: 'migrate',
    summary: 'Apply the migrations that the database has not seen',
    load: () => import('./commands/migrate.ts'),
  },
  doctor: {
    usage: 'doctor',
    summary: 'Check configuration, database, jobs, Redis, mail, clock and disk',
    load: () => import('./commands/doctor.ts'),
  },
  config: {
    usage: 'config [--example]',
    summary: 'Print the effective configuration, secrets masked; or the text of .env.example',
    load: () => import('./commands/config.ts'),
  },
  'create-admin': {
    usage: 'create-admin EMAIL',
    summary: 'Make an administrator; asks for the password, or reads it from a pipe',
    load: () => import('./commands/create-admin.ts'),
  },
  users: {
    usage: 'users ACTION',
    summary:
      'list [--search TEXT] [--role ROLE] [--all]; (de)activate or disable-mfa EMAIL; set-role or set-tier EMAIL VALUE',
    load: () => import('./commands/users.ts'),
  },
  sessions: {
    usage: 'sessions revoke EMAIL',
    summary: 'Sign a user out everywhere',
    load: () => import('./commands/sessions.ts'),
  },
  items: {
    usage: 'items export|import',
    summary: 'EMAIL [FILE] [--format ndjson|csv] [--dry-run]: the items of a user as lines, out or in',
    load: () => import('./commands/items.ts'),
  },
  webhooks: {
    usage: 'webhooks list|replay',
    summary: 'EMAIL: how they do; ID [--from TIME] [--to TIME] [--failed-only] [--delivery ID]: send again',
    load: () => import('./commands/webhooks.ts'),
  },
  'seed-db': {
    usage: 'seed-db',
    summary: 'Add accounts and data to develop with; masses, without events, by --users N --items N',
    load: () => import('./commands/seed-db.ts'),
  },
  jobs: {
    usage: 'jobs list|retry|run',
    summary: 'Count and list jobs [--state STATE]; retry ID; run NAME [PAYLOAD] here and now',
    load: () => import('./commands/jobs.ts'),
  },
  audit: {
    usage: 'audit verify|export',
    summary: 'Compare all events with their seals; or print them as lines of JSON',
    load: () => import('./commands/audit.ts'),
  },
  'mail-test': {
    usage: 'mail-test ADDRESS',
    summary: 'Queue a test mail to this address',
    load: () => import('./commands/mail-test.ts'),
  },
  shell: {
    usage: 'shell',
    summary: 'A prompt with db, sql, app, config and redis; reads a script from a pipe',
    load: () => import('./commands/shell.ts'),
  },
  openapi: {
    usage: 'openapi [--check]',
    summary: 'Write openapi.json; or fail if it is not up to date',
    load: () => import('./commands/openapi.ts'),
  },
  'new-domain': {
    usage: 'new-domain NAME',
    summary: 'Write a new domain: routes, table, queries, test and migration',
    load: () => import('./commands/new-domain.ts'),
  },
}

const USAGE_WIDTH = 22

function help(): string {
  const line = (usage: string, summary: string) => `  ${usage.padEnd(USAGE_WIDTH)} ${summary}\n`
  const lines = Object.values(commands).map(({ usage, summary }) => line(usage, summary))
  return `Usage: plinth COMMAND\n\n${lines.join('')}${line('help', 'Print this')}`
}

async function main([name = 'help', ...args]: string[]): Promise<number> {
  if (name === 'help' || name === '--help') {
    process.stdout.write(help())
    return 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    process.stderr.write(`There is no command ${name}.\n\n${help()}`)
    return EXIT_USAGE
  }
  const { default: run } = await command.load()
  return run(args)
}

/** A person's mistake, or a server that is away, is told in a sentence; a bug of ours keeps its stack. */
function asStartupError(error: unknown): StartupError {
  if (error instanceof StartupError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code?.startsWith('ERR_PARSE_ARGS')) return new StartupError(message, EXIT_USAGE)
  if (isConnectionFailure(error)) return new StartupError('The database cannot be reached.', EXIT_UNAVAILABLE)
  throw error
}

if (isMain(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    const { message, exitCode } = asStartupError(error)
    process.stderr.write(`${message}\n`)
    process.exitCode = exitCode
  }
}
