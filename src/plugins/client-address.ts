import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** Who sent the request, as far as trusted proxies tell; what they pass on need not be an address at all. */
export function clientAddress(request: FastifyRequest): string {
  return isIP(request.ip) === 0 ? (request.socket.remoteAddress ?? '') : request.ip
}
