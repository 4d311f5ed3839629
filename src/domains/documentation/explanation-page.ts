import type { ProblemDefinition } from '../../lib/problem.ts'

export function explanationPage({ code, status, title, explanation, remedy }: ProblemDefinition): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title></head>
<body>
<h1>${escape(title)}</h1>
<p><code>${escape(code)}</code>, HTTP status ${status}</p>
<h2>What it means</h2>
<p>${escape(explanation)}</p>
<h2>What to do</h2>
<p>${escape(remedy)}</p>
<p><a href="/docs">All operations</a></p>
</body>
</html>
`
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

const escape = (text: string) => text.replace(/[&<>"]/g, character => entities[character] ?? character)
