import { Type } from '@sinclair/typebox'
import { defineEvent } from './event-type.ts'

/** Somebody we know called what only an administrator may. */
export const accessDenied = defineEvent('access.denied', Type.Object({ operation: Type.String() }))
