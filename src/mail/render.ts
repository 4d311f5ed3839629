import type { Static, TSchema } from '@sinclair/typebox'
import { renderHtml } from './html.ts'
import type { Block, Template } from './template.ts'
import { renderText } from './text.ts'

/** More is not shown anywhere, and a line of a mail may not be endless. */
const MAX_SUBJECT_LENGTH = 200

export interface Rendered {
  subject: string
  text: string
  html: string
}

/** A mail's subject and its body in both forms. Throws when a button leads anywhere but to a web page. */
export function render<Data extends TSchema>(template: Template<Data>, data: Static<Data>): Rendered {
  const subject = oneLine(template.subject(data)).slice(0, MAX_SUBJECT_LENGTH)
  const blocks = template.body(data).map(clean)
  const preheader = oneLine(template.preheader(data))
  return { subject, text: renderText(blocks), html: renderHtml({ subject, preheader, blocks }) }
}

/**
 * Line breaks would begin a new header in a subject, and in a body let a value pass for a paragraph of ours;
 * the direction marks would let it read as something else than it is.
 */
export const oneLine = (text: string) =>
  text
    .toWellFormed()
    .replace(/[\s\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, ' ')
    .trim()

function clean(block: Block): Block {
  switch (block.kind) {
    case 'button':
      return { ...block, label: oneLine(block.label), url: webAddress(block.url) }
    case 'facts':
      return { ...block, facts: block.facts.map(([label, value]) => [oneLine(label), oneLine(value)]) }
    default:
      return { ...block, text: oneLine(block.text) }
  }
}

/** Without the address in the error: it may be a link that is good once. */
function webAddress(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new TypeError('The address of a button must begin with https:// or http://.')
  }
  return parsed.href
}
