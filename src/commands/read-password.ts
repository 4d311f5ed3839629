import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'

type Lines = AsyncIterator<string>

/** What shells make of a command that Ctrl-C ends: 128 and the number of the signal. */
const EXIT_INTERRUPTED = 130

type Input = NodeJS.ReadableStream & { isTTY?: boolean }

/** Asked for twice on a terminal, without an echo; elsewhere the first line of the standard input. */
export async function readPassword(input: Input = process.stdin): Promise<string> {
  // Readline edits the line and minds raw mode, which it ends with `close`; where it writes, nobody sees.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  const reader = createInterface({ input, output, terminal: input.isTTY === true, historySize: 0 })
  try {
    // Made once, because it keeps what is pasted before it is asked for.
    const lines = reader[Symbol.asyncIterator]()
    return input.isTTY ? await askTwice(lines) : await firstOf(lines)
  } finally {
    reader.close()
  }
}

async function askTwice(lines: Lines): Promise<string> {
  const password = await ask(lines, 'Password: ')
  if ((await ask(lines, 'The same again: ')) !== password) throw new StartupError('The two are not the same.')
  return password
}

/** The prompt is no output of the command's, so it does not end in a file or a pipe. */
async function ask(lines: Lines, prompt: string): Promise<string> {
  process.stderr.write(prompt)
  const { value, done } = await lines.next()
  process.stderr.write('\n')
  if (done) throw new StartupError('Nothing was changed.', EXIT_INTERRUPTED)
  return value
}

async function firstOf(lines: Lines): Promise<string> {
  const { value, done } = await lines.next()
  if (done) throw new StartupError('Send the password as a line on the standard input.', EXIT_USAGE)
  return value
}
