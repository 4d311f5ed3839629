import cors from '@fastify/cors'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { LOCALHOST_ORIGIN } from '../lib/origins.ts'

const EXPOSED_HEADERS = [
  'Content-Disposition',
  'ETag',
  'Link',
  'Location',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-Request-Id',
  'Idempotency-Replayed',
]

/** Browsers may cache a preflight this long; Chromium caps it at two hours. */
const PREFLIGHT_SECONDS = 7200

/** The same for an answer that is written without Fastify: what an origin needs to read it. */
export function corsHeaders(origins: Config['CORS_ORIGINS']) {
  const exposed = `access-control-expose-headers: ${EXPOSED_HEADERS.join(', ')}\r\n`
  return (origin: string | undefined): string => {
    if (origins === '*') return `access-control-allow-origin: *\r\n${exposed}`
    if (origin === undefined || !isAllowed(origin)) return 'vary: Origin\r\n'
    return `vary: Origin\r\naccess-control-allow-origin: ${origin}\r\naccess-control-allow-credentials: true\r\n${exposed}`
  }

  function isAllowed(origin: string): boolean {
    return origins === 'localhost' ? LOCALHOST_ORIGIN.test(origin) : origins.includes(origin)
  }
}

/** Which web pages of other origins may read answers. */
export default fp(
  async (app, { origins }: { origins: Config['CORS_ORIGINS'] }) => {
    app.addHook('onRoute', route => {
      // The plugin's own route, on which it answers preflights.
      if (route.method === 'OPTIONS' && route.url === '*')
        route.config = { ...route.config, access: 'public' }
    })
    await app.register(cors, {
      origin: origins === 'localhost' ? LOCALHOST_ORIGIN : origins === '*' ? '*' : [...origins],
      // The refresh token may travel as a cookie; with the wildcard, browsers forbid that.
      credentials: origins !== '*',
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      exposedHeaders: EXPOSED_HEADERS,
      maxAge: PREFLIGHT_SECONDS,
      // Otherwise an OPTIONS request that is no preflight is answered with a plain-text 400.
      strictPreflight: false,
    })
  },
  { name: 'cors-by-config' },
)
