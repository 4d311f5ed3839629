const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const BITS = 5

/** RFC 4648, without padding. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = ''
  let pending = 0
  let bits = 0
  for (const byte of bytes) {
    pending = (pending << 8) | byte
    for (bits += 8; bits >= BITS; bits -= BITS) text += symbol(pending >> (bits - BITS))
    pending &= (1 << bits) - 1
  }
  return bits > 0 ? text + symbol(pending << (BITS - bits)) : text
}

const symbol = (value: number) => ALPHABET.charAt(value & 31)

/** Only what `encodeBase32` writes. */
export function decodeBase32(text: string): Buffer {
  const bytes: number[] = []
  let pending = 0
  let bits = 0
  for (const character of text) {
    pending = (pending << BITS) | ALPHABET.indexOf(character)
    bits += BITS
    if (bits < 8) continue
    bits -= 8
    bytes.push(pending >> bits)
    pending &= (1 << bits) - 1
  }
  const decoded = Buffer.from(bytes)
  // Characters and bits that mean nothing would not come out again.
  if (encodeBase32(decoded) !== text) throw new Error('This is not base32.')
  return decoded
}
