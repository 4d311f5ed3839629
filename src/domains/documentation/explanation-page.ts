import type { ProblemDefinition } from '../../lib/problem.ts'

export function explanationPage({ code, status, title, explanation, remedy }: ProblemDefinition): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title></head>
<body>
<h1>${escapeHtml(title)}</h1>
<p><code>${escapeHtml(code)}</code>, HTTP status ${status}</p>
<h2>What it means</h2>
<p>${sentence(explanation)}</p>
<h2>What to do</h2>
<p>${sentence(remedy)}</p>
<p><a href="/docs">All operations</a></p>
</body>
</html>
`
}

/** The texts are written for Markdown, too. */
const sentence = (text: string) => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, character => entities[character] ?? character)
