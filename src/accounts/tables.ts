import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { bytesColumn, createdAtColumn, idColumn, momentColumn, timestampColumns } from '../db/columns.ts'
import type { Role, Scope, Tier } from '../lib/access.ts'

export const users = pgTable(
  'users',
  {
    id: idColumn(),
    /** In lower case: it is compared without case. */
    email: text().notNull(),
    password_hash: text().notNull(),
    password_changed_at: createdAtColumn(),
    first_name: text().notNull(),
    last_name: text().notNull(),
    full_name: text().notNull().generatedAlwaysAs(sql`first_name || ' ' || last_name`),
    role: text().$type<Role>().notNull().default('user'),
    is_admin: boolean().notNull().generatedAlwaysAs(sql`role = 'admin'`),
    is_active: boolean().notNull().default(true),
    tier: text().$type<Tier>().notNull().default('standard'),
    email_verified: boolean().notNull().default(false),
    mfa_enabled: boolean().notNull().default(false),
    /** Sealed. While MFA is not enabled, it waits for its first code. */
    totp_secret: text(),
    /** The time step of the last code that was used: it and those before are used up. */
    totp_last_step: bigint({ mode: 'number' }),
    version: integer().notNull().default(1),
    ...timestampColumns(),
    last_login_at: momentColumn(),
    deleted_at: momentColumn(),
  },
  table => [
    // Of a deleted user, the e-mail may be registered again.
    uniqueIndex('users_email_key').on(table.email).where(sql`${table.deleted_at} is null`),
    index('users_by_email').using('gin', table.email.op('gin_trgm_ops')),
    index('users_by_full_name').using('gin', table.full_name.op('gin_trgm_ops')),
    // For administrators' lists, either way. By e-mail there is the index above, which is unique but for the deleted.
    index('users_sorted_by_created_at').on(table.created_at, table.id),
    index('users_sorted_by_updated_at').on(table.updated_at, table.id),
    index('users_sorted_by_full_name').on(table.full_name, table.id),
    index('users_sorted_by_last_login_at').on(sql`coalesce(${table.last_login_at}, '-infinity')`, table.id),
    index('users_deleted').on(table.deleted_at).where(sql`${table.deleted_at} is not null`),
    index('users_admins').on(table.id).where(sql`${table.role} = 'admin'`),
  ],
)

const userColumn = () =>
  uuid()
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' })

/** One for each sign-in. What is ended is deleted. */
export const sessions = pgTable(
  'sessions',
  {
    id: idColumn(),
    user_id: userColumn(),
    /** Of the random part that all refresh tokens of the session share. */
    secret_hash: bytesColumn().notNull(),
    /** Which of its refresh tokens is the good one; each refresh makes the next. */
    generation: integer().notNull().default(1),
    rotated_at: createdAtColumn(),
    ip: text(),
    user_agent: text(),
    created_at: createdAtColumn(),
    last_used_at: createdAtColumn(),
    expires_at: momentColumn().notNull(),
  },
  table => [
    index('sessions_by_user').on(table.user_id, table.id),
    index('sessions_by_expiry').on(table.expires_at),
  ],
)

export const apiKeys = pgTable(
  'api_keys',
  {
    id: idColumn(),
    user_id: userColumn(),
    name: text().notNull(),
    /** Its first characters, to tell one from another. */
    prefix: text().notNull(),
    key_hash: bytesColumn().notNull(),
    /** The key before the last rotation, while both are good. */
    previous_hash: bytesColumn(),
    previous_expires_at: momentColumn(),
    scopes: text().array().$type<Scope[]>().notNull(),
    expires_at: momentColumn(),
    last_used_at: momentColumn(),
    ...timestampColumns(),
  },
  table => [
    uniqueIndex('api_keys_key_hash_key').on(table.key_hash),
    uniqueIndex('api_keys_previous_hash_key').on(table.previous_hash),
    index('api_keys_by_user').on(table.user_id, table.id),
  ],
)

/** Links that are good once. A newer one for the same purpose takes the place of the older. */
export const oneTimeLinks = pgTable(
  'one_time_links',
  {
    user_id: userColumn(),
    purpose: text().$type<'verify_email' | 'change_email' | 'reset_password'>().notNull(),
    token_hash: bytesColumn().notNull(),
    /** The address that it was sent to. */
    email: text().notNull(),
    created_at: createdAtColumn(),
    expires_at: momentColumn().notNull(),
  },
  table => [
    primaryKey({ name: 'one_time_links_pkey', columns: [table.user_id, table.purpose] }),
    uniqueIndex('one_time_links_token_hash_key').on(table.token_hash),
    index('one_time_links_by_expiry').on(table.expires_at),
  ],
)

export const recoveryCodes = pgTable(
  'recovery_codes',
  { user_id: userColumn(), code_hash: bytesColumn().notNull() },
  table => [primaryKey({ name: 'recovery_codes_pkey', columns: [table.user_id, table.code_hash] })],
)

/** By a hash of the e-mail, whether or not there is an account with it: being locked must not tell. */
export const loginFailures = pgTable(
  'login_failures',
  {
    email_hash: bytesColumn().primaryKey(),
    /** The last ones, up to as many as lock the account. */
    failed_at: momentColumn().array().notNull(),
    last_failed_at: createdAtColumn(),
    /** How often it was locked: each time for longer. */
    locks: integer().notNull().default(0),
    locked_until: momentColumn(),
  },
  table => [index('login_failures_by_time').on(table.last_failed_at)],
)

/** What a user has signed in from before. */
export const devices = pgTable(
  'devices',
  { user_id: userColumn(), fingerprint: bytesColumn().notNull(), last_seen_at: createdAtColumn() },
  table => [
    primaryKey({ name: 'devices_pkey', columns: [table.user_id, table.fingerprint] }),
    index('devices_by_last_seen').on(table.last_seen_at),
  ],
)
