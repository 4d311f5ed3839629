import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'
import { ApiKey } from './api-key-schemas.ts'

const fields = Type.Pick(ApiKey, ['name', 'scopes', 'expires_at'])

export const apiKeyCreated = defineEvent('api_key.created', fields)
export const apiKeyUpdated = defineEvent('api_key.updated', fields)
/** It shows no change: what a rotation replaces is secret. */
export const apiKeyRotated = defineEvent('api_key.rotated', fields)
export const apiKeyRevoked = defineEvent('api_key.revoked', fields)
