import { parse } from 'secure-json-parse'
import { InvalidText, MalformedJson } from './problems.ts'
import { holdsOnlyText } from './text.ts'

type Read =
  | { value: unknown; fault?: undefined }
  | { fault: 'malformed_json' | 'invalid_text'; message: string }

/** The value of a JSON text from outside. Whatever cannot be stored, or would poison an object, is refused. */
export function parseJson(text: string, what: string): unknown {
  const read = readJson(text, what)
  if (read.fault === undefined) return read.value
  throw new (read.fault === 'invalid_text' ? InvalidText : MalformedJson)(read.message)
}

/** The same for texts of which there are many, and of which many may be wrong. */
export function readJson(text: string, what: string): Read {
  let value: unknown
  try {
    value = parse(text, { protoAction: 'error', constructorAction: 'error' })
  } catch {
    // Not kept as a cause: the parser's message quotes the text.
    return { fault: 'malformed_json', message: `${what} is not valid JSON.` }
  }
  // Only an escape can smuggle NUL or a lone surrogate through valid UTF-8 and valid JSON.
  if (text.includes('\\u') && !holdsOnlyText(value)) {
    return { fault: 'invalid_text', message: `${what} contains a NUL character or a lone surrogate.` }
  }
  return { value }
}
