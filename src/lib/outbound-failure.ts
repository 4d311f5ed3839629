import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/** Its message is a sentence for the owner of the URL. */
export class Failure extends Error {}

export const BROKEN_OFF = 'The connection broke off before an answer.'
const UNREACHABLE = 'The address could not be reached.'

const SENTENCES: Record<string, string> = {
  ECONNREFUSED: 'The connection was refused.',
  ECONNRESET: BROKEN_OFF,
  ECONNABORTED: BROKEN_OFF,
  EPIPE: BROKEN_OFF,
  ETIMEDOUT: UNREACHABLE,
  ENETUNREACH: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  EHOSTDOWN: UNREACHABLE,
  EADDRNOTAVAIL: UNREACHABLE,
  HPE_HEADER_OVERFLOW: 'The headers of the answer are too long.',
}

/** Why there was no answer, without what the error says itself: that has our addresses in it, and those of names. */
export function sentenceOn(error: unknown, socket?: Socket | null): string {
  if (error instanceof Failure) return error.message
  const code = codeOf(error)
  if (code !== '' && code === certificateFault(socket)) return `The certificate is not good: ${code}.`
  if (Object.hasOwn(SENTENCES, code)) return SENTENCES[code] ?? ''
  if (code.startsWith('HPE_')) return 'The answer is not HTTP.'
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return 'There was no agreement on TLS.'
  return 'The request could not be sent.'
}

export const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException | undefined)?.code ?? '')

/** Node keeps the code here, whatever the types say. */
const certificateFault = (socket: Socket | null | undefined) =>
  socket ? String((socket as TLSSocket).authorizationError ?? '') : ''
