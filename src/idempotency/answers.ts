import type { Vault } from '../lib/vault.ts'

/** What of an answer is kept and given again; the other headers are of the connection, or of the request. */
export const KEPT_HEADERS = [
  'content-type',
  'location',
  'etag',
  'set-cookie',
  'link',
  'cache-control',
  'www-authenticate',
  'retry-after',
  'content-disposition',
] as const

export interface Answer {
  status: number
  headers: Record<string, string | string[]>
  body: Buffer | undefined
}

/** Sealed, because there are tokens, keys and people in them. */
export function sealAnswer(vault: Vault, { status, headers, body }: Answer): string {
  // Nearly all bodies are text, which base64 would make longer by a third before sealing does so again.
  const text = body?.toString()
  const isText = body === undefined || Buffer.from(text ?? '').equals(body)
  return vault.seal(
    JSON.stringify({ status, headers, ...(isText ? { text } : { bytes: body.toString('base64') }) }),
  )
}

export function openAnswer(vault: Vault, sealed: string): Answer {
  const { status, headers, text, bytes } = JSON.parse(vault.open(sealed))
  if (bytes !== undefined) return { status, headers, body: Buffer.from(bytes, 'base64') }
  return { status, headers, body: text === undefined ? undefined : Buffer.from(text) }
}
