import type { IncomingMessage } from 'node:http'

export interface Answer {
  status: number
  /** What the receiver asked for in `Retry-After`, from now. */
  retry_after_seconds: number | undefined
  /** The beginning of the body. */
  answer: string
}

const KEPT_BYTES = 1_024

/** So much, and so long, is read for the sake of using the connection again; more is not worth it. */
const MOST_BYTES = 64 * 1_024
const MOST_MS = 2_000

/** What an answer says, once its body, its connection or our patience has ended. Never rejects. */
export async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0, headers } = response
  const answer = await readBeginning(response)
  return { status, retry_after_seconds: retryAfterSeconds(headers['retry-after']), answer }
}

function readBeginning(response: IncomingMessage): Promise<string> {
  return new Promise(resolve => {
    const kept: Buffer[] = []
    let bytes = 0
    const timer = setTimeout(() => response.destroy(), MOST_MS)
    response.on('data', (chunk: Buffer) => {
      // Copied, or a kilobyte would hold all that arrived with it.
      if (bytes < KEPT_BYTES) kept.push(Buffer.from(chunk.subarray(0, KEPT_BYTES - bytes)))
      bytes += chunk.length
      if (bytes > MOST_BYTES) response.destroy()
    })
    response.on('error', () => {})
    response.once('close', () => {
      clearTimeout(timer)
      resolve(decode(Buffer.concat(kept), bytes > KEPT_BYTES))
    })
  })
}

/** As Postgres can store it. A character that was cut in two by us is left out. */
const decode = (bytes: Buffer, cut: boolean) =>
  new TextDecoder().decode(bytes, { stream: cut }).replaceAll('\0', '\ufffd')

/** `Retry-After` counted from now; undefined when it says nothing that could be kept to. */
function retryAfterSeconds(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (/^\d+$/.test(value)) return sensible(Number(value))
  // A date of HTTP is in GMT; Date would also take numbers and local times.
  return value.endsWith(' GMT') ? sensible(Math.ceil((Date.parse(value) - Date.now()) / 1_000)) : undefined
}

const sensible = (seconds: number) => (Number.isSafeInteger(seconds) && seconds >= 0 ? seconds : undefined)
