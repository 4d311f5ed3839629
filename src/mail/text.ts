import type { Block } from './template.ts'

/** What mail programs show without breaking lines themselves, with room for a quotation mark or two. */
const WIDTH = 78

/** The body for those who read text. */
export const renderText = (blocks: readonly Block[]): string => `${blocks.map(blockText).join('\n\n')}\n`

function blockText(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
    case 'small':
      return wrap(block.text)
    case 'button':
      return `${wrap(`${block.label}:`)}\n${block.url}`
    case 'code':
      return `    ${block.text}`
    case 'facts':
      return block.facts.map(([label, value]) => wrap(`${label}: ${value}`, '  ')).join('\n')
  }
}

/** At spaces only: a broken address leads nowhere. */
function wrap(text: string, indent = ''): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && longer.length > WIDTH) {
      lines.push(line)
      line = indent + word
    } else {
      line = longer
    }
  }
  return [...lines, line].join('\n')
}
