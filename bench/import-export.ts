import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { parseConfig } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { prepareDatabase } from '../src/prepare.ts'
import { emailOf, fillAccounts, signIn, startWebProcess, type WebProcess } from './lib/accounts.ts'
import { openConnection } from './lib/connection.ts'
import { withDatabase } from './lib/database.ts'
import { endAfter, expect } from './lib/limits.ts'

// A million rows in and out again: how fast, and how much memory the service takes for it. Then the connection breaks in
// the middle of either.

const LEAST_ROWS_A_SECOND = 15_000
const SAMPLE_MS = 20

/** Rows that are made, and sent, at a time. */
const CHUNK = 2000

const SYLLABLES = ['ba', 'ke', 'li', 'mo', 'nu', 'pra', 'ste', 'ti', 'so', 'fu', 'wen', 'dal', 'gor', 'ir']

const { values } = parseArgs({ options: { rows: { type: 'string', default: '1000000' } } })
const rows = Number(values.rows)
endAfter(900)

type Format = 'ndjson' | 'csv'
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv' }

await withDatabase(async url => {
  const database = await connect(parseConfig({ DATABASE_URL: url }))
  await prepareDatabase(database)
  await database.close()
  await fillAccounts(url, [{ kind: 'owner', count: 4 }])
  const client = postgres(url, { max: 1, onnotice: () => {} })
  const web = await startWebProcess(url)
  const connection = openConnection(web.port)
  const [first, second, third, fourth] = await Promise.all(
    [0, 1, 2, 3].map(number => tokenOf(web.port, emailOf('owner', number))),
  )
  if (!first || !second || !third || !fourth) throw new Error('Four owners are needed.')
  const itemsOf = async (token: string) => {
    const { body } = await connection.ask({ path: '/api/v1/items/stats', token })
    return JSON.parse(body).total as number
  }

  // So that what is measured is not what compiling takes.
  await importRows(web, third, 'ndjson', 1000)
  for (const [format, token] of [
    ['ndjson', first],
    ['csv', second],
  ] as const) {
    const { seconds, body, memory } = await importRows(web, token, format, rows)
    const rate = Math.round(rows / seconds)
    console.log(
      `import, ${format}: ${rows} rows in ${seconds.toFixed(1)} s, ${rate} rows/s; ${memory}; ${body}`,
    )
    expect(rate >= LEAST_ROWS_A_SECOND, `at least ${LEAST_ROWS_A_SECOND} rows a second`)
    expect((await itemsOf(token)) === rows, 'all of them are there')
  }
  for (const format of ['ndjson', 'csv'] as const) {
    const { seconds, lines, bytes, memory } = await exportRows(web, first, format)
    const rate = Math.round(rows / seconds)
    console.log(
      `export, ${format}: ${lines} lines, ${(bytes / 2 ** 20).toFixed(0)} MiB in ${seconds.toFixed(1)} s, ${rate} rows/s; ${memory}`,
    )
    expect(lines === rows + (format === 'csv' ? 1 : 0), 'a line for each row')
  }

  await breakImport(web, fourth)
  const begun = performance.now()
  while (
    (await connection.ask({ path: '/health/ready' })).result !== '200' &&
    performance.now() - begun < 5_000
  );
  const [row] = await client<
    { count: number }[]
  >`select count(*)::int as count from events where type = 'item.imported'`
  expect(
    (await itemsOf(fourth)) === 0 && row?.count === 3,
    'an import that broke off left nothing, and no event',
  )
  expect(await breakExport(web, first), 'an export whose reader went away ended, and the service goes on')
  connection.close()
  await client.end()
  await web.service.stop()
})

async function tokenOf(port: number, email: string): Promise<string> {
  const connection = openConnection(port)
  const { token } = await signIn(connection, email)
  connection.close()
  return token
}

function ask(
  { port }: WebProcess,
  token: string,
  method: string,
  path: string,
  type?: string,
): ClientRequest {
  const headers = { authorization: `Bearer ${token}`, ...(type !== undefined && { 'content-type': type }) }
  return request({ host: '127.0.0.1', port, method, path: `/api/v1/items/${path}`, headers })
}

async function importRows(web: WebProcess, token: string, format: Format, count: number) {
  const memory = watchMemory(web.service.pid)
  const begun = performance.now()
  const outgoing = ask(web, token, 'POST', 'import', TYPES[format])
  await send(outgoing, format, count)
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  const body = (await response.setEncoding('utf8').toArray()).join('')
  return { seconds: (performance.now() - begun) / 1000, body, memory: memory.stop() }
}

async function send(outgoing: ClientRequest, format: Format, count: number) {
  if (format === 'csv') outgoing.write('title,description,price\r\n')
  for (let from = 0; from < count; from += CHUNK) {
    const numbers = Array.from({ length: Math.min(CHUNK, count - from) }, (_, index) => from + index)
    const text = numbers.map(number => lineOf(number, format)).join('')
    if (!outgoing.write(text)) await once(outgoing, 'drain')
  }
}

function word(number: number): string {
  return [7, 5, 3]
    .map(factor => SYLLABLES[(number * factor + (number >> factor)) % SYLLABLES.length])
    .join('')
}

function lineOf(number: number, format: Format): string {
  const title = `Item ${number} ${word(number)}`
  const description = [1, 2, 3, 4].map(step => word(number + step)).join(' ')
  const price = ((number * 7919) % 1_000_000) / 100
  if (format === 'csv') return `${title},"${description}",${price}\r\n`
  return `{"title":"${title}","description":"${description}","price":${price}}\n`
}

async function exportRows(web: WebProcess, token: string, format: Format) {
  const memory = watchMemory(web.service.pid)
  const begun = performance.now()
  const outgoing = ask(web, token, 'GET', `export?format=${format}`)
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  let lines = 0
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
  }
  return { seconds: (performance.now() - begun) / 1000, lines, bytes, memory: memory.stop() }
}

/** Half of what is announced, and the end of the connection. */
async function breakImport(web: WebProcess, token: string) {
  const outgoing = ask(web, token, 'POST', 'import', TYPES.ndjson)
  outgoing.on('error', () => {})
  await send(outgoing, 'ndjson', 20_000)
  outgoing.destroy()
}

async function breakExport(web: WebProcess, token: string): Promise<boolean> {
  const outgoing = ask(web, token, 'GET', 'export')
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  await once(response, 'data')
  response.destroy()
  const again = openConnection(web.port)
  const { result } = await again.ask({ path: '/api/v1/items?per_page=1', token })
  again.close()
  return result === '200'
}

/** The resident memory of a process, before and at its most. */
function watchMemory(pid: number) {
  const before = residentOf(pid)
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, residentOf(pid))
  }, SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      return `memory ${before} MB before, ${most} MB at most`
    },
  }
}

function residentOf(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kilobytes) / 1024)
}
