export interface Family {
  type: string
  help: string
  samples: { name: string; labels: Record<string, string>; value: number }[]
}

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)/g

/** Reads the text format of Prometheus, and throws at what is not of it. */
export function parseMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  if (!text.endsWith('\n')) throw new Error('The last line has no end.')
  let current: Family | undefined
  for (const line of text.split('\n').filter(each => each !== '')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (keyword === 'HELP') {
      if (families.has(name)) throw new Error(`${name} is there twice.`)
      current = { type: '', help: rest, samples: [] }
      families.set(name, current)
    } else if (keyword === 'TYPE') {
      if (current === undefined || families.get(name) !== current) throw new Error(`No help before ${line}`)
      current.type = rest
    } else {
      current?.samples.push(sampleOf(line))
    }
  }
  return families
}

function sampleOf(line: string) {
  const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? fail(line)
  if (Number.isNaN(Number(value))) fail(line)
  if (labels.replace(LABEL, '') !== '') fail(line)
  const pairs = [...labels.matchAll(LABEL)].map(([, key = '', text = '']) => [key, text])
  return { name, labels: Object.fromEntries(pairs), value: Number(value) }
}

function fail(line: string): never {
  throw new Error(`This is no sample: ${line}`)
}
