import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { createPasswords } from '../../src/accounts/passwords.ts'
import { parseConfig } from '../../src/config.ts'
import type { Connection } from './connection.ts'
import { freePort } from './http.ts'
import { builtScript, type Service, startService, temporaryDirectory } from './service.ts'
import { until } from './wait.ts'

export const PASSWORD = 'the same for all accounts'

/** The same for all processes of a bench, so that each takes the tokens of the others. */
export const JWT_SECRET_KEY = randomBytes(36).toString('base64')

export interface WebProcess {
  port: number
  service: Service
}

/** A web process as it is by default, but for limits of requests per hour, and jobs, which would disturb. */
export async function startWebProcess(
  url: string,
  environment: Record<string, string> = {},
  { keepLog = false } = {},
): Promise<WebProcess> {
  const port = await freePort()
  const service = startService(builtScript('server.js'), {
    DATABASE_URL: url,
    DATA_DIR: temporaryDirectory(),
    PORT: String(port),
    JWT_SECRET_KEY,
    PASSWORD_BLOCKLIST: 'false',
    RATELIMIT_ENABLED: 'false',
    WORKER: 'false',
    SHUTDOWN_DELAY_SECONDS: '0',
    ...environment,
  })
  await until('ready', () => service.log.some(({ msg }) => msg === 'ready') || undefined)
  // From now on its lines are taken and dropped: parsing them would cost the service the core on which we do it.
  if (!keepLog) service.child.stdout?.removeAllListeners('data').resume()
  return { port, service }
}

/** `user-000017@bench.test`: all as long as each other, whatever the kind, if the kinds are. */
export const emailOf = (kind: string, number: number) =>
  `${kind}-${String(number).padStart(6, '0')}@bench.test`

interface Accounts {
  kind: string
  count: number
  role?: 'user' | 'admin'
  deleted?: boolean
}

/** By SQL, with one hash for all, which the service would have made. */
export async function fillAccounts(url: string, groups: Accounts[]): Promise<void> {
  const password_hash = await createPasswords(parseConfig({ JWT_SECRET_KEY })).hash(PASSWORD)
  const client = postgres(url, { max: 1, onnotice: () => {} })
  for (const { kind, count, role = 'user', deleted = false } of groups) {
    const emails = Array.from({ length: count }, (_, number) => emailOf(kind, number))
    await client`
      insert into users (id, email, password_hash, first_name, last_name, role, deleted_at)
      select gen_random_uuid(), email, ${password_hash}, 'Bench', 'Account', ${role},
        case when ${deleted} then now() end
      from unnest(${emails}::text[]) as email`
  }
  await client`vacuum (analyze) users`
  await client.end()
}

export interface SignedIn {
  user_id: string
  session_id: string
  token: string
}

export async function signIn(connection: Connection, email: string, password = PASSWORD): Promise<SignedIn> {
  const { result, body } = await connection.ask(login(email, password))
  if (result !== '200') throw new Error(`Signing in was answered with ${result}: ${body}`)
  const { access_token: token, user } = JSON.parse(body)
  const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
  return { user_id: user.id, session_id: claims.sid, token }
}

export const login = (email: string, password = PASSWORD) => ({
  method: 'POST',
  path: '/api/v1/auth/login',
  body: { email, password },
})
