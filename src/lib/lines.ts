import { decodeUtf8 } from './utf8.ts'

/** Why a line or a record cannot be read: a word for programs and a sentence for people. */
export interface LineFault {
  code: string
  message: string
}

export const TOO_LONG: LineFault = { code: 'too_long', message: 'is too long' }
export const INVALID_UTF8: LineFault = { code: 'invalid_utf8', message: 'is not valid UTF-8' }

/** A line that is not blank, with its number in the file, from 1. */
export type Line =
  | { line: number; text: string; fault?: undefined }
  | { line: number; text?: undefined; fault: LineFault }

/**
 * The lines of a file in batches, each from about as much as was read at a time: a promise for each line would cost
 * more than the line. `limit` is in UTF-16 units; of a longer line nothing is kept.
 */
export async function* readLines(chunks: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Line[], void> {
  const splitter = createSplitter(limit)
  for await (const text of decodeUtf8(chunks)) {
    const batch = splitter.split(text)
    if (batch.length > 0) yield batch
  }
  const batch = splitter.split('\n')
  if (batch.length > 0) yield batch
}

function createSplitter(limit: number) {
  let number = 1
  /** Of a line whose end is still to come. */
  let rest = ''
  let overlong = false

  function take(text: string, batch: Line[]) {
    const line = number++
    if (overlong || text.length > limit) batch.push({ line, fault: TOO_LONG })
    else if (!text.isWellFormed()) batch.push({ line, fault: INVALID_UTF8 })
    else if (!isBlank(text)) batch.push({ line, text: text.endsWith('\r') ? text.slice(0, -1) : text })
    overlong = false
  }

  return {
    split(text: string): Line[] {
      const batch: Line[] = []
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) take(line, batch)
      if (rest.length > limit) overlong = true
      if (overlong) rest = ''
      return batch
    },
  }
}

/** Of what JSON takes for space; few lines begin with any. */
const isBlank = (text: string) => !(text.charCodeAt(0) > 0x20) && /^[ \t\r]*$/.test(text)
