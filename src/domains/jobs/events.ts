import { Type } from '@sinclair/typebox'
import { defineEvent } from '../../events/event-type.ts'

const fields = Type.Object({ name: Type.String(), state: Type.String() })

export const jobRetried = defineEvent('job.retried', fields)
export const jobDeleted = defineEvent('job.deleted', fields)
