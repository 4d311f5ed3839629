import type { Encoding } from './encoded-tag.ts'

/** Longer ones, no program has reason to write. */
const LONGEST = 500

/** Browsers and programs write a handful of different ones; whoever makes up others only empties this. */
const MOST_REMEMBERED = 100

const remembered = new Map<string, Encoding | undefined>()

/** What an `Accept-Encoding` wants most of what we can do (RFC 9110, section 12.5.3); undefined: as it is. */
export function acceptedEncoding(header: string | undefined): Encoding | undefined {
  if (header === undefined || header.length > LONGEST) return undefined
  const known = remembered.get(header)
  if (known !== undefined || remembered.has(header)) return known
  if (remembered.size >= MOST_REMEMBERED) remembered.clear()
  const chosen = choose(header)
  remembered.set(header, chosen)
  return chosen
}

function choose(header: string): Encoding | undefined {
  const weights = weightsIn(header)
  const any = weights.get('*') ?? 0
  const br = weights.get('br') ?? any
  const gzip = weights.get('gzip') ?? weights.get('x-gzip') ?? any
  const best = Math.max(br, gzip)
  // As it is, everybody has to take it; only who says so wants it more than what is smaller.
  if (best === 0 || (weights.get('identity') ?? 0) > best) return undefined
  return br === best ? 'br' : 'gzip'
}

/** What is not of the form, is not there: a header that nobody understands is no reason for an error. */
function weightsIn(header: string): Map<string, number> {
  const weights = new Map<string, number>()
  for (const element of header.toLowerCase().split(',')) {
    const [, coding, weight = '1'] = ELEMENT.exec(element) ?? []
    if (coding !== undefined) weights.set(coding, Number(weight))
  }
  return weights
}

const ELEMENT = /^[ \t]*([\w*+.-]+)(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?[ \t]*$/
