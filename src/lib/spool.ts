import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MalformedRequest, PayloadTooLarge, Unavailable } from './problems.ts'

interface SpoolOptions {
  /** The most bytes to take. */
  limit: number
  /** How many bytes were announced, if they were. */
  length?: number | undefined
  /** Whether to compute the SHA-256 on the way. */
  digest?: boolean
  /** Elsewhere than in the system's temporary directory (`TMPDIR`). */
  directory?: string
}

/** An upload that has arrived whole. It can be read from its start any number of times, until it is closed. */
export interface Spool extends AsyncIterable<Buffer> {
  bytes: number
  sha256: Buffer | undefined
  close(): Promise<void>
}

/** So much is written at a time, however small the pieces are in which it arrives. */
const WRITE_BYTES = 256 * 1024
const WRITE_PIECES = 512

const READ_BYTES = 128 * 1024

/**
 * Puts an upload into a temporary file, so that whoever sends slowly, or stops, holds no transaction meanwhile.
 * Nobody can find the file: its name is removed as soon as it is open, and a crash leaves nothing behind.
 */
export async function spool(source: AsyncIterable<Buffer>, options: SpoolOptions): Promise<Spool> {
  const { limit, length, digest = false, directory = tmpdir() } = options
  if (length !== undefined && length > limit) throw tooLarge(limit)
  const file = await openNameless(directory)
  try {
    const { bytes, sha256 } = await fill(file, source, limit, digest)
    if (length !== undefined && bytes !== length) throw cutShort()
    return { bytes, sha256, close: file.close, [Symbol.asyncIterator]: () => read(file.handle, bytes) }
  } catch (error) {
    await file.close()
    throw error
  }
}

interface NamelessFile {
  handle: FileHandle
  close(): Promise<void>
}

async function openNameless(directory: string): Promise<NamelessFile> {
  const path = join(directory, `plinth-${randomUUID()}.upload`)
  const handle = await open(path, 'wx+', 0o600).catch(failToStore)
  // Some platforms keep the name for as long as the file is open.
  const named = await rm(path).then(
    () => false,
    () => true,
  )
  return {
    handle,
    async close() {
      await handle.close()
      if (named) await rm(path, { force: true })
    },
  }
}

async function fill({ handle }: NamelessFile, source: AsyncIterable<Buffer>, limit: number, digest: boolean) {
  const hash = digest ? createHash('sha256') : undefined
  let pieces: Buffer[] = []
  let waiting = 0
  let bytes = 0
  for await (const piece of arriving(source)) {
    bytes += piece.length
    if (bytes > limit) throw tooLarge(limit)
    hash?.update(piece)
    pieces.push(piece)
    waiting += piece.length
    if (waiting < WRITE_BYTES && pieces.length < WRITE_PIECES) continue
    // Goes on until all of it is written, which `write` does not.
    await handle.appendFile(Buffer.concat(pieces)).catch(failToStore)
    pieces = []
    waiting = 0
  }
  await handle.appendFile(Buffer.concat(pieces)).catch(failToStore)
  return { bytes, sha256: hash?.digest() }
}

/** Whatever ends the source before its time is the sender's doing, unlike what fails on our side. */
async function* arriving(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    yield* source
  } catch (cause) {
    throw cutShort(cause)
  }
}

async function* read(handle: FileHandle, bytes: number): AsyncGenerator<Buffer, void> {
  for (let position = 0; position < bytes; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, bytes - position))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) throw new Error('The spool is shorter than what was written to it.')
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

const tooLarge = (limit: number) =>
  new PayloadTooLarge(`The body is larger than the ${limit} bytes that this operation accepts.`)

const cutShort = (cause?: unknown) =>
  new MalformedRequest('The body ended before it was complete; nothing was changed.', { cause })

function failToStore(cause: unknown): never {
  throw new Unavailable('The upload cannot be stored at the moment.', { cause })
}
