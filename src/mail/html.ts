import type { Block } from './template.ts'

// Styles stand in the elements, because mail programs drop style sheets; nothing is loaded from anywhere, because that
// would tell others who reads the mail and when.

const FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
const HIDDEN = 'display:none;max-height:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px'
const BUTTON =
  'display:inline-block;padding:10px 20px;border-radius:6px;background:#1f3a5f;color:#ffffff;text-decoration:none'
const SMALL = 'font-size:13px;line-height:1.5;color:#5a6472'
const PARAGRAPH = 'margin:0 0 16px'

interface Page {
  subject: string
  preheader: string
  blocks: readonly Block[]
}

/** The body for those who read HTML. */
export function renderHtml({ subject, preheader, blocks }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(subject)}</title>
</head>
<body style="margin:0;padding:24px;background:#ffffff;color:#1c232b;font-size:16px;line-height:1.5;${FONT}">
<div style="${HIDDEN}">${escapeHtml(preheader)}</div>
<div style="max-width:560px;margin:0 auto">
${blocks.map(blockHtml).join('\n')}
</div>
</body>
</html>
`
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return `<p style="${PARAGRAPH}">${escapeHtml(block.text)}</p>`
    case 'small':
      return `<p style="${PARAGRAPH};${SMALL}">${escapeHtml(block.text)}</p>`
    case 'button':
      return buttonHtml(escapeHtml(block.label), escapeHtml(block.url))
    case 'code':
      return `<p style="${PARAGRAPH};font:600 24px/1.4 ui-monospace,monospace;letter-spacing:2px">${escapeHtml(block.text)}</p>`
    case 'facts':
      return `<table role="presentation" style="${PARAGRAPH};border-collapse:collapse">\n${block.facts.map(factHtml).join('\n')}\n</table>`
  }
}

/** With the address in sight: people are told to look where a link leads, and some programs show no buttons. */
function buttonHtml(label: string, url: string): string {
  const style = `${PARAGRAPH};${SMALL};word-break:break-all`
  return `<p style="${PARAGRAPH}"><a href="${url}" style="${BUTTON}">${label}</a></p>\n<p style="${style}">${url}</p>`
}

function factHtml([label, value]: readonly [string, string]): string {
  const cell = 'padding:2px 16px 2px 0;text-align:left;vertical-align:top'
  return `<tr><th style="${cell};font-weight:600">${escapeHtml(label)}</th><td style="${cell}">${escapeHtml(value)}</td></tr>`
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, character => ENTITIES[character] ?? character)
