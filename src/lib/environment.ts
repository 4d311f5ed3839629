import { type Static, Type } from '@sinclair/typebox'

/** Marks what `plinth config` masks and what may never reach a log. */
const secret = { secret: true }

/**
 * Every variable that Plinth reads, with its default and one line of meaning; `.env.example` is printed from this.
 * A default that depends on `NODE_ENV` stands in `config.ts`, and its description says so.
 */
export const Environment = Type.Object({
  NODE_ENV: Type.String({
    format: 'node-env',
    default: 'development',
    description: 'development, test or production; production refuses development conveniences',
  }),
  HOST: Type.Optional(
    Type.String({ description: 'Address to listen on; default 127.0.0.1, in production 0.0.0.0' }),
  ),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 takes any free one',
  }),
  WEB_CONCURRENCY: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 256,
    description: 'Web processes; more than one needs DATABASE_URL',
  }),
  WORKER: Type.Boolean({
    default: true,
    description: 'Whether web processes run background jobs too; false where `npm run worker` does',
  }),
  LOG_LEVEL: Type.String({
    format: 'log-level',
    default: 'info',
    description: 'fatal, error, warn, info, debug, trace or silent',
  }),
  DATA_DIR: Type.String({
    default: '.data',
    minLength: 1,
    description: 'Where the embedded database and the development secrets live',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({
      format: 'postgres-url',
      description: 'postgres://…; without it the embedded database in DATA_DIR is used',
      ...secret,
    }),
  ),
  DATABASE_POOL_SIZE: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'Connections to Postgres per process',
  }),
  DATABASE_STATEMENT_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest time for one statement',
  }),
  DATABASE_LOCK_TIMEOUT_MS: Type.Integer({
    default: 5_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest wait for a lock',
  }),
  DATABASE_IDLE_TRANSACTION_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: 3_600_000,
    description: 'Longest pause inside a transaction before Postgres ends it',
  }),
  MIGRATE_ON_START: Type.Optional(
    Type.Boolean({ description: 'Apply migrations when starting; default true, in production false' }),
  ),
  AUDIT_RETENTION_DAYS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 36_500,
      description: 'How long events are kept, then dropped by whole months; default for ever',
    }),
  ),
  REDIS_URL: Type.Optional(
    Type.String({
      format: 'redis-url',
      description: 'redis://…; what processes share besides the database',
      ...secret,
    }),
  ),
  JWT_SECRET_KEY: Type.Optional(
    Type.String({
      minLength: 32,
      description: 'Signs access tokens, 32 characters or more; made in DATA_DIR outside production',
      ...secret,
    }),
  ),
  JWT_SECRET_KEY_PREVIOUS: Type.Optional(
    Type.String({
      minLength: 32,
      description: 'The key before JWT_SECRET_KEY, while what it signed and sealed is still about',
      ...secret,
    }),
  ),
  JWT_PRIVATE_KEY: Type.Optional(
    Type.String({
      format: 'ed25519-private-key',
      description: 'Signs access tokens by EdDSA instead: an Ed25519 key in PEM, line breaks written as \\n',
      ...secret,
    }),
  ),
  JWT_PUBLIC_KEY_PREVIOUS: Type.Optional(
    Type.String({
      format: 'ed25519-public-key',
      description: 'The public half of the JWT_PRIVATE_KEY before, in PEM, while its tokens are still about',
    }),
  ),
  JWT_ACCESS_TOKEN_EXPIRES: Type.Integer({
    default: 3600,
    minimum: 1,
    description: 'Life of an access token in seconds',
  }),
  JWT_REFRESH_TOKEN_EXPIRES: Type.Integer({
    default: 2_592_000,
    minimum: 1,
    description: 'Life of a refresh token in seconds',
  }),
  ARGON2_MEMORY_COST: Type.Integer({
    default: 19_456,
    minimum: 8_192,
    maximum: 1_048_576,
    description: 'Memory for hashing a password, in KiB',
  }),
  ARGON2_TIME_COST: Type.Integer({
    default: 2,
    minimum: 1,
    maximum: 100,
    description: 'Passes over that memory',
  }),
  ARGON2_PARALLELISM: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 64,
    description: 'Lanes in that memory',
  }),
  PASSWORD_BLOCKLIST: Type.Optional(
    Type.Boolean({ description: 'Refuse passwords that everybody uses; default false, in production true' }),
  ),
  REGISTRATION_OPEN: Type.Boolean({ default: true, description: 'Whether anybody may register' }),
  REQUIRE_VERIFIED_EMAIL: Type.Boolean({
    default: false,
    description: 'Whether a user must have verified the e-mail before anything but the account itself',
  }),
  REQUIRE_IF_MATCH: Type.Boolean({
    default: false,
    description: 'Whether a change must say in If-Match which version it is made to',
  }),
  PURGE_AFTER_DAYS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 36_500,
    description: 'How long what was deleted can be restored; then it is removed for good',
  }),
  APP_URL: Type.Optional(
    Type.String({
      format: 'web-url',
      description: 'Where the front-end is: mails link to its pages; default http://localhost:PORT',
    }),
  ),
  CORS_ORIGINS: Type.Optional(
    Type.String({
      format: 'origins',
      description: 'Comma-separated origins, or *; default any localhost origin, in production none',
    }),
  ),
  RATELIMIT_ENABLED: Type.Boolean({ default: true, description: 'Whether requests are limited at all' }),
  RATELIMIT_DEFAULT: Type.String({
    format: 'rate-limits',
    default: '100/hour',
    description:
      'Limits for each address from which somebody calls who is not signed in, as in 100/hour; 10/second',
  }),
  RATELIMIT_STANDARD: Type.String({
    format: 'rate-limits',
    default: '5000/hour',
    description: 'Limits for each user, and each API key, of the tier standard',
  }),
  RATELIMIT_PREMIUM: Type.String({
    format: 'rate-limits',
    default: '15000/hour',
    description: 'The same for the tier premium',
  }),
  LOAD_SHEDDING: Type.Boolean({
    default: true,
    description: 'Whether requests are refused with 503 while there is more to do than can be done',
  }),
  WEBHOOK_ALLOW_PRIVATE: Type.Boolean({
    default: false,
    description: 'Whether webhooks may go to addresses that are not public; for development only',
  }),
  EVENT_STREAMS_PER_USER: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 5_000,
    description: 'Live streams of events that one user may have open in one process',
  }),
  METRICS_TOKEN: Type.Optional(
    Type.String({
      minLength: 16,
      description: 'What `GET /metrics` demands as a Bearer token; without it, everybody may read them',
      ...secret,
    }),
  ),
  MAIL_SERVER: Type.Optional(Type.String({ minLength: 1, description: 'SMTP host that sends the mail' })),
  MAIL_PORT: Type.Integer({ default: 587, minimum: 1, maximum: 65535, description: 'SMTP port' }),
  MAIL_USE_TLS: Type.Boolean({
    default: true,
    description: 'Demand TLS of the SMTP server: from the first byte on port 465, by STARTTLS elsewhere',
  }),
  MAIL_USERNAME: Type.Optional(Type.String({ description: 'SMTP user' })),
  MAIL_PASSWORD: Type.Optional(Type.String({ description: 'SMTP password', ...secret })),
  MAIL_FROM: Type.String({
    default: 'Plinth <no-reply@localhost>',
    description: 'Sender of every mail',
  }),
  TRUST_PROXY: Type.Optional(
    Type.String({
      format: 'proxies',
      description:
        'Proxies whose X-Forwarded-For is believed: addresses, ranges, loopback, or a number of hops that nobody can go round',
    }),
  ),
  REQUEST_TIMEOUT_SECONDS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 3600,
    description: 'Longest time for a request to arrive',
  }),
  SHUTDOWN_DELAY_SECONDS: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 3600,
    description: 'After SIGTERM, how long to go on accepting while readiness already says 503',
  }),
  SHUTDOWN_GRACE_SECONDS: Type.Number({
    default: 20,
    minimum: 0,
    maximum: 3600,
    description: 'After SIGTERM, when to end even if requests are unfinished',
  }),
})
export type Environment = Static<typeof Environment>
