/** Lines over an axis of numbers, side by side, as an SVG that needs nothing else. */
export interface Panel {
  title: string
  x_label: string
  y_label: string
  /** Drawn by powers of ten. */
  logarithmic?: boolean
  lines: { name: string; colour: string; dashed?: boolean; points: [x: number, y: number][] }[]
}

const WIDTH = 460
const HEIGHT = 320
const MARGIN = { top: 34, right: 16, bottom: 76, left: 62 }
const INNER = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom }
const TICKS = 5

export function plot(title: string, rows: Panel[][]): string {
  const columns = Math.max(...rows.map(row => row.length))
  const width = columns * WIDTH
  const height = rows.length * HEIGHT + 30
  const panels = rows.flatMap((row, y) => row.map((panel, x) => draw(panel, x * WIDTH, y * HEIGHT + 30)))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12">
<title>${title}</title>
<rect width="${width}" height="${height}" fill="white"/>
${text(width / 2, 20, title, 'middle', 15)}
${panels.join('\n')}
</svg>
`
}

function draw(panel: Panel, left: number, top: number): string {
  const points = panel.lines.flatMap(line => line.points).filter(([, y]) => Number.isFinite(y))
  const xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b)
  const [from, to] = [xs[0] ?? 0, xs.at(-1) ?? 1]
  const { least, most, ticks } = scale(
    points.map(([, y]) => y),
    panel.logarithmic === true,
  )
  const level = (y: number) => (panel.logarithmic ? Math.log10(Math.max(y, least)) : y)
  const xOf = (x: number) => MARGIN.left + ((x - from) / (to - from)) * INNER.width
  const yOf = (y: number) =>
    MARGIN.top + INNER.height * (1 - (level(y) - level(least)) / (level(most) - level(least)))
  const bottom = MARGIN.top + INNER.height
  const parts = [
    text(MARGIN.left + INNER.width / 2, 20, panel.title, 'middle', 13),
    text(MARGIN.left + INNER.width / 2, bottom + 34, panel.x_label, 'middle'),
    `<text transform="translate(14 ${MARGIN.top + INNER.height / 2}) rotate(-90)" text-anchor="middle">${escaped(panel.y_label)}</text>`,
    ...ticks.map(
      tick =>
        `<path d="M${MARGIN.left} ${round(yOf(tick))}h${INNER.width}" stroke="#ddd"/>${text(MARGIN.left - 6, yOf(tick) + 4, shown(tick), 'end')}`,
    ),
    ...xs.map(
      x =>
        `<path d="M${round(xOf(x))} ${bottom}v4" stroke="#444"/>${text(xOf(x), bottom + 17, shown(x), 'middle', 10)}`,
    ),
    `<path d="M${MARGIN.left} ${MARGIN.top}V${bottom}h${INNER.width}" fill="none" stroke="#444"/>`,
    ...panel.lines.map(({ colour, dashed, points: line }) => {
      const style = `fill="none" stroke="${colour}" stroke-width="2"${dashed ? ' stroke-dasharray="6 4"' : ''}`
      const at = line.filter(([, y]) => Number.isFinite(y)).map(([x, y]) => [round(xOf(x)), round(yOf(y))])
      const dots = at.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="2.5" fill="${colour}"/>`)
      return `<polyline points="${at.map(point => point.join(',')).join(' ')}" ${style}/>${dots.join('')}`
    }),
    ...panel.lines.map(({ name, colour, dashed }, index) => {
      const x = MARGIN.left + (index % 2) * (INNER.width / 2)
      const y = bottom + 52 + Math.floor(index / 2) * 16
      return `<path d="M${x} ${y - 4}h22" stroke="${colour}" stroke-width="2"${dashed ? ' stroke-dasharray="6 4"' : ''}/>${text(x + 28, y, name, 'start', 11)}`
    }),
  ]
  return `<g transform="translate(${left} ${top})">${parts.join('\n')}</g>`
}

function scale(values: number[], logarithmic: boolean) {
  const highest = Math.max(...values)
  if (logarithmic) {
    const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(highest))]
    const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
    return { least: 10 ** low, most: 10 ** high, ticks }
  }
  const power = 10 ** Math.floor(Math.log10(highest / TICKS))
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size * TICKS >= highest) ?? power
  return {
    least: 0,
    most: step * TICKS,
    ticks: Array.from({ length: TICKS + 1 }, (_, index) => index * step),
  }
}

function text(x: number, y: number, content: string, anchor: string, size = 12): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}">${escaped(content)}</text>`
}

const shown = (value: number) => String(Number(value.toPrecision(3)))
const round = (value: number) => Math.round(value * 10) / 10
const escaped = (content: string) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
