/** Stands where bytes were no UTF-8: a lone surrogate, which text that was decoded can otherwise not hold. */
const BROKEN = '\udfff'

/** What the decoder writes there, and its bytes when it was sent. */
const REPLACEMENT = '\ufffd'
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT)

/**
 * The text of a file, piece by piece, without the byte order mark at its start.
 * Bytes that are no UTF-8 do not end it: the piece that holds them is not well-formed (`isWellFormed`), the others are.
 */
export async function* decodeUtf8(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  let cut: Buffer = Buffer.alloc(0)
  let atStart = true
  for await (const chunk of chunks) {
    const bytes = cut.length === 0 ? chunk : Buffer.concat([cut, chunk])
    const end = bytes.length - unfinished(bytes)
    cut = bytes.subarray(end)
    const text = decode(bytes.subarray(0, end))
    if (text === '') continue
    yield atStart && text.startsWith('\ufeff') ? text.slice(1) : text
    atStart = false
  }
  if (cut.length > 0) yield decode(cut)
}

/** How many bytes at the end may begin a character whose other bytes are still to come. */
function unfinished(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < lengthBegunBy(byte) ? back : 0
  }
  return 0
}

const lengthBegunBy = (byte: number) => (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2)

function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (!text.includes(REPLACEMENT)) return text
  // Some of them may have been sent as they are. The parts between those were not.
  const parts: string[] = []
  let from = 0
  for (;;) {
    const sent = bytes.indexOf(REPLACEMENT_BYTES, from)
    const part = bytes.toString('utf8', from, sent === -1 ? undefined : sent)
    parts.push(part.replaceAll(REPLACEMENT, BROKEN))
    if (sent === -1) return parts.join(REPLACEMENT)
    from = sent + REPLACEMENT_BYTES.length
  }
}
