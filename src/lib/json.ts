import { parse } from 'secure-json-parse'
import { InvalidText, MalformedJson } from './problems.ts'
import { holdsOnlyText } from './text.ts'

/** The value of a JSON text from outside. Whatever cannot be stored, or would poison an object, is refused. */
export function parseJson(text: string, what = 'The text'): unknown {
  const value = readJson(text, what)
  // Only an escape can smuggle NUL or a lone surrogate through valid UTF-8 and valid JSON.
  if (text.includes('\\u') && !holdsOnlyText(value)) {
    throw new InvalidText(`${what} contains a NUL character or a lone surrogate.`)
  }
  return value
}

function readJson(text: string, what: string): unknown {
  try {
    return parse(text, { protoAction: 'error', constructorAction: 'error' })
  } catch {
    // Not kept as a cause: the parser's message quotes the text.
    throw new MalformedJson(`${what} is not valid JSON.`)
  }
}
