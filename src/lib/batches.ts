/** What is read newest first: each batch from the id on at which the one before ended. */
export async function* inBatches<Row extends { id: string }>(
  read: (before: string | undefined) => PromiseLike<Row[]>,
  size: number,
): AsyncGenerator<Row[]> {
  for (let before: string | undefined; ; ) {
    const batch = await read(before)
    yield batch
    if (batch.length < size) return
    before = batch.at(-1)?.id
  }
}
