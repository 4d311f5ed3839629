import { PassThrough } from 'node:stream'
import { type Test, test } from 'tap'
import { readPassword } from '../../src/commands/read-password.ts'

/** A terminal as far as a program sees one; it keeps what is typed ahead. */
function terminal(t: Test) {
  const modes: boolean[] = []
  const input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (raw: boolean) => modes.push(raw),
  })
  const shown = t.capture(process.stderr, 'write', () => true)
  return {
    input,
    modes,
    shown: () =>
      shown()
        .map(({ args }) => args[0])
        .join(''),
  }
}

test('a terminal is asked twice, and shows nothing of the answers', async t => {
  const { input, modes, shown } = terminal(t)
  const reading = readPassword(input)
  input.write('corekt\u007f\u007f\u007frect hörse 🐎\r')
  input.write('correct hörse 🐎\r')
  t.equal(await reading, 'correct hörse 🐎')
  t.strictSame(modes, [true, false], 'raw mode is ended')
  t.equal(shown(), 'Password: \nThe same again: \n')
})

test('two answers that differ are no password', async t => {
  const { input, modes } = terminal(t)
  input.write('correct horse\rcorrect house\r')
  await t.rejects(readPassword(input), { message: 'The two are not the same.', exitCode: 1 })
  t.strictSame(modes, [true, false])
})

test('Ctrl-C and Ctrl-D end it, and leave the terminal as it was', async t => {
  for (const typed of ['half\u0003', 'correct horse\r\u0003', '\u0004']) {
    const { input, modes } = terminal(t)
    const reading = readPassword(input)
    input.write(typed)
    await t.rejects(reading, { message: 'Nothing was changed.', exitCode: 130 })
    t.strictSame(modes, [true, false])
  }
})

test('of a pipe, the first line counts', async t => {
  for (const [text, password] of [
    ['correct horse\n', 'correct horse'],
    ['correct horse\r\nmore\n', 'correct horse'],
    [' spaces stay \n', ' spaces stay '],
    ['no line break', 'no line break'],
  ] as const) {
    t.equal(await readPassword(new PassThrough().end(text)), password)
  }
  await t.rejects(readPassword(new PassThrough().end()), { message: /standard input/, exitCode: 64 })
})
