import { INVALID_UTF8, type LineFault, TOO_LONG } from './lines.ts'
import { decodeUtf8 } from './utf8.ts'

// RFC 4180, piece by piece.

/** What stands between two line ends that no quote spans, and the line on which it begins, from 1. */
export type CsvRecord =
  | { line: number; cells: string[]; fault?: undefined }
  | { line: number; cells?: undefined; fault: LineFault }

export const STRAY_QUOTE: LineFault = {
  code: 'stray_quote',
  message: 'has a quote inside a cell: quote the whole cell, and double the quotes in it',
}
const UNCLOSED_QUOTE: LineFault = { code: 'unclosed_quote', message: 'opens a quote that is never closed' }

/** In batches, each from as much as was read at a time. */
export async function* readRecords(
  chunks: AsyncIterable<Buffer>,
  limit: number,
): AsyncGenerator<CsvRecord[], void> {
  const scanner = new Scanner(limit)
  for await (const text of decodeUtf8(chunks)) {
    const batch = scanner.scan(text, false)
    if (batch.length > 0) yield batch
  }
  const batch = scanner.scan('', true)
  if (batch.length > 0) yield batch
}

/** A record that is not kept, whose end is still to come. */
interface Skipped {
  line: number
  fault: LineFault
  /** Whether a line end may be inside quotes. After a stray quote nobody knows, and the line's end has to do. */
  heedsQuotes: boolean
  /** The line on which the quote was opened that is open now. */
  quoteLine: number | undefined
}

/** What became of a record: where the next begins, or that more text is needed. */
type Outcome = number | 'incomplete'

/** Cuts text into records. What is not a whole record yet is kept, up to the limit, and looked at again with more. */
class Scanner {
  #limit: number
  #rest = ''
  #line = 1
  #skipped: Skipped | undefined
  #records: CsvRecord[] = []
  #text = ''
  #last = false
  #lineFeed = new Finder('\n')
  #return = new Finder('\r')
  #quote = new Finder('"')
  #comma = new Finder(',')

  constructor(limit: number) {
    this.#limit = limit
  }

  scan(more: string, last: boolean): CsvRecord[] {
    let text = this.#rest + more
    // Whether a line feed follows decides where the line ends.
    const held = !last && text.endsWith('\r') ? '\r' : ''
    if (held) text = text.slice(0, -1)
    this.#text = text
    this.#last = last
    this.#records = []
    this.#findAnew()

    let at = 0
    while (at < text.length) {
      const outcome = this.#skipped ? this.#skip(this.#skipped, at) : this.#read(at)
      if (outcome !== 'incomplete') {
        at = outcome
        continue
      }
      if (!this.#skipped && text.length - at > this.#limit) this.#giveUp(at)
      else if (this.#skipped) at = text.length
      else break
    }
    if (last && this.#skipped) this.#endSkipped(this.#skipped)
    this.#rest = text.slice(at) + held
    return this.#records
  }

  #read(start: number): Outcome {
    const end = this.#lineEnd(start)
    if (this.#quote.from(start) < end) return this.#readQuoted(start)
    if (end === this.#text.length && !this.#last) return 'incomplete'
    if (end - start > this.#limit) return this.#giveUp(start)
    const line = this.#line++
    if (end > start) this.#keep(line, start, end, this.#text.slice(start, end).split(','))
    return this.#pastLineEnd(end)
  }

  /** A record some of whose cells are quoted. */
  #readQuoted(start: number): Outcome {
    const text = this.#text
    const cells: string[] = []
    let line = this.#line
    let at = start
    for (;;) {
      if (text[at] === '"') {
        const close = this.#closingQuote(at + 1)
        if (close === undefined) {
          if (!this.#last) return 'incomplete'
          if (text.length - start > this.#limit) return this.#giveUp(start)
          this.#records.push({ line, fault: UNCLOSED_QUOTE })
          return text.length
        }
        if (close + 1 === text.length && !this.#last) return 'incomplete'
        const cell = text.slice(at + 1, close)
        cells.push(cell.includes('"') ? cell.replaceAll('""', '"') : cell)
        line += countLineEnds(cell)
        at = close + 1
      } else {
        const end = Math.min(this.#comma.from(at), this.#lineEnd(at))
        const quote = this.#quote.from(at)
        if (quote < end) return this.#stray(start, quote)
        if (end === text.length && !this.#last) return 'incomplete'
        cells.push(text.slice(at, end))
        at = end
      }
      if (at < text.length && text[at] === ',') at++
      else if (at === this.#lineEnd(at)) break
      else return this.#stray(start, at)
    }
    if (at - start > this.#limit) return this.#giveUp(start)
    this.#keep(this.#line, start, at, cells)
    this.#line = line + 1
    return this.#pastLineEnd(at)
  }

  /** A quote where none may be. Too far on, it must not count, or it would depend on how much was read at a time. */
  #stray(start: number, at: number): Outcome {
    if (at - start > this.#limit) return this.#giveUp(start)
    const line = this.#line
    this.#line += countLineEnds(this.#text.slice(start, at))
    this.#skipped = { line, fault: STRAY_QUOTE, heedsQuotes: false, quoteLine: undefined }
    return at
  }

  #giveUp(start: number): Outcome {
    this.#skipped = { line: this.#line, fault: TOO_LONG, heedsQuotes: true, quoteLine: undefined }
    this.#findAnew()
    return start
  }

  #skip(skipped: Skipped, from: number): Outcome {
    let at = from
    for (;;) {
      const quote = skipped.heedsQuotes ? this.#quote.from(at) : this.#text.length
      if (skipped.quoteLine !== undefined) {
        this.#line += countLineEnds(this.#text.slice(at, quote))
        if (quote === this.#text.length) return 'incomplete'
        skipped.quoteLine = undefined
        at = quote + 1
        continue
      }
      const end = this.#lineEnd(at)
      if (quote < end) {
        skipped.quoteLine = this.#line
        at = quote + 1
        continue
      }
      if (end === this.#text.length) return 'incomplete'
      this.#line++
      this.#endSkipped(skipped)
      return this.#pastLineEnd(end)
    }
  }

  #endSkipped({ line, fault, quoteLine }: Skipped) {
    this.#records.push(quoteLine === undefined ? { line, fault } : { line: quoteLine, fault: UNCLOSED_QUOTE })
    this.#skipped = undefined
  }

  #keep(line: number, start: number, end: number, cells: string[]) {
    const whole = this.#text.slice(start, end).isWellFormed()
    this.#records.push(whole ? { line, cells } : { line, fault: INVALID_UTF8 })
  }

  #closingQuote(from: number): number | undefined {
    const { length } = this.#text
    let at = this.#quote.from(from)
    while (at < length && this.#text[at + 1] === '"') at = this.#quote.from(at + 2)
    return at < length ? at : undefined
  }

  #findAnew() {
    for (const finder of [this.#lineFeed, this.#return, this.#quote, this.#comma]) finder.search(this.#text)
  }

  #lineEnd(from: number): number {
    return Math.min(this.#lineFeed.from(from), this.#return.from(from))
  }

  #pastLineEnd(end: number): number {
    return this.#text[end] === '\r' && this.#text[end + 1] === '\n' ? end + 2 : end + 1
  }
}

/** Where a character comes next. It remembers, since what is rare would otherwise be looked for on every line. */
class Finder {
  #character: string
  #text = ''
  #found = -1

  constructor(character: string) {
    this.#character = character
  }

  search(text: string) {
    this.#text = text
    this.#found = -1
  }

  /** The length of the text if there is none. From one call to the next, `at` only grows. */
  from(at: number): number {
    if (this.#found < at) {
      const found = this.#text.indexOf(this.#character, at)
      this.#found = found === -1 ? this.#text.length : found
    }
    return this.#found
  }
}

function countLineEnds(text: string): number {
  if (!text.includes('\n') && !text.includes('\r')) return 0
  return text.match(/\r\n|\r|\n/g)?.length ?? 0
}
