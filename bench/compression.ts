import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { brotliCompress, brotliCompressSync, constants, gzip, gzipSync } from 'node:zlib'
import { acceptedEncoding } from '../src/lib/accepted-encoding.ts'
import { compressNow } from '../src/lib/compress.ts'
import { endAfter, expect } from './lib/limits.ts'

// What compressing costs and saves, by level and by size; what it costs the event loop, now and aside; and what asking
// whether to compress costs each answer.

/** The longest that one answer may keep all others waiting. */
const MOST_MS = 2

endAfter(300)

const words = readFileSync(new URL('../src/README.md', import.meta.url), 'utf8').match(/[a-z]{3,}/gi) ?? []
const prose = (count: number) =>
  Array.from({ length: count }, () => words[Math.floor(Math.random() * words.length)]).join(' ')

const owner_id = randomUUID()
const item = (number: number) => ({
  id: randomUUID(),
  owner_id,
  title: prose(4),
  description: prose(20),
  status: ['draft', 'published', 'archived'][number % 3],
  price: (Math.random() * 100).toFixed(2),
  metadata: { color: ['red', 'blue'][number % 2], size: number % 7 },
  version: 1 + (number % 3),
  created_at: new Date(1.7e12 + number * 1e7).toISOString(),
  updated_at: new Date(1.7e12 + number * 2e7).toISOString(),
})
const page = (count: number) =>
  Buffer.from(JSON.stringify({ data: Array.from({ length: count }, (_, i) => item(i)) }))

const bodies: Record<string, Buffer> = {
  'an item of 1.1 kB': Buffer.from(JSON.stringify({ ...item(1), description: prose(110) })),
  'a page of 20 items': page(20),
  'a page of 100 items': page(100),
  'a post of 90 kB': Buffer.from(JSON.stringify({ id: randomUUID(), content: prose(15_000) })),
  'openapi.json': Buffer.from(
    JSON.stringify(JSON.parse(readFileSync(new URL('../openapi.json', import.meta.url), 'utf8'))),
  ),
}

const brotliAt = (quality: number, { length }: Buffer) => ({
  params: {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_SIZE_HINT]: length,
  },
})

for (const [name, body] of Object.entries(bodies)) {
  console.log(`\n${name}, ${body.length} bytes`)
  for (const quality of [1, 2, 3, 4, 5, 6])
    show(`br ${quality}`, body, () => brotliCompressSync(body, brotliAt(quality, body)))
  for (const level of [1, 3, 4, 6, 9]) show(`gzip ${level}`, body, () => gzipSync(body, { level }))
}

console.log('\nnow and aside, µs an answer: by the clock, of all cores, of the event loop')
const aside = { br: promisify(brotliCompress), gzip: promisify<Buffer, object, Buffer>(gzip) }
const whole = Buffer.concat(Object.values(bodies))
for (const size of [1024, 4096, 8192, 16_384, 32_768, 65_536]) {
  const cuts = Array.from({ length: 50 }, (_, index) => whole.subarray(index * 4099, index * 4099 + size))
  for (const encoding of ['br', 'gzip'] as const) {
    const options = (body: Buffer) => (encoding === 'br' ? brotliAt(4, body) : { level: 6 })
    const now = await cost(cuts, async body => compressNow(body, encoding))
    const later = await cost(cuts, body => aside[encoding](body, options(body)))
    console.log(`${size} ${encoding}: now ${now.join(' ')}, aside ${later.join(' ')}`)
    if (size === 16_384)
      expect(Number(now[0]) < MOST_MS * 1000, `${encoding} of 16 KiB keeps others less than ${MOST_MS} ms`)
  }
}

const rounds = 1_000_000
const started = performance.now()
for (let count = 0; count < rounds; count++) acceptedEncoding('gzip, deflate, br, zstd')
console.log(`\nreading Accept-Encoding: ${(((performance.now() - started) * 1e6) / rounds).toFixed(0)} ns`)

function show(name: string, body: Buffer, compress: () => Buffer) {
  const rounds = Math.max(10, Math.min(500, Math.floor(3e6 / body.length)))
  for (let count = 0; count < rounds / 2; count++) compress()
  const start = performance.now()
  for (let count = 0; count < rounds; count++) compress()
  const each_us = ((performance.now() - start) * 1000) / rounds
  console.log(
    `  ${name}: ${((compress().length / body.length) * 100).toFixed(1)} %, ${each_us.toFixed(0)} µs`,
  )
}

async function cost(cuts: Buffer[], compress: (body: Buffer) => Promise<Buffer>): Promise<string[]> {
  for (const body of cuts) await compress(body)
  const rounds = 6
  const [cpu, loop, start] = [process.cpuUsage(), performance.eventLoopUtilization(), performance.now()]
  for (let count = 0; count < rounds; count++) for (const body of cuts) await compress(body)
  const { user, system } = process.cpuUsage(cpu)
  const { active } = performance.eventLoopUtilization(loop)
  const answers = rounds * cuts.length
  return [(performance.now() - start) * 1000, user + system, active * 1000].map(us =>
    (us / answers).toFixed(0),
  )
}
