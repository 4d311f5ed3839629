import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'

/** Retention dropped the events before a moment. What `audit verify` takes for an excuse, it takes from here. */
export const auditExpired = defineEvent('audit.expired', Type.Object({ before: Type.String() }))
