/**
 * Whether every string in a parsed JSON value, keys included, can be stored as text:
 * Postgres refuses NUL in text and lone surrogates in jsonb.
 * Iterative, because a body of a megabyte can nest deeper than the call stack.
 */
export function holdsOnlyText(value: unknown): boolean {
  const pending = [value]
  while (pending.length > 0) {
    const next = pending.pop()
    if (typeof next === 'string') {
      if (!isText(next)) return false
    } else if (typeof next === 'object' && next !== null) {
      for (const [key, child] of Object.entries(next)) {
        if (!isText(key)) return false
        pending.push(child)
      }
    }
  }
  return true
}

/** For a terminal, which must not take what somebody else wrote for commands. */
export const printable = (text: string) => text.replace(/\p{Cc}/gu, '?')

export const isText = (value: string) => !value.includes('\0') && value.isWellFormed()
