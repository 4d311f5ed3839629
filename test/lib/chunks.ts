import fc from 'fast-check'

/** What was sent, in pieces of these sizes, over and over. */
export async function* inPieces(bytes: Buffer | string, sizes: readonly number[] = [65_536]) {
  const all = Buffer.from(bytes)
  for (let at = 0, turn = 0; at < all.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    yield all.subarray(at, at + size)
    at += size
  }
}

export const pieceSizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 })

/** So many bytes without anything of them in memory but one piece. */
export async function* endless(byte: string, bytes: number) {
  const piece = Buffer.alloc(65_536, byte)
  for (let sent = 0; sent < bytes; sent += piece.length) yield piece
}

export async function flat<T>(batches: AsyncIterable<T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const batch of batches) for (const one of batch) all.push(one)
  return all
}

/** The most that the process held while it worked, above what it held before, in MiB. */
export async function growth(work: () => Promise<unknown>): Promise<number> {
  const held = () => {
    const { heapUsed, external } = process.memoryUsage()
    return (heapUsed + external) / 1_048_576
  }
  const before = held()
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, held())
  }, 5)
  await work()
  clearInterval(watch)
  return Math.max(most, held()) - before
}
