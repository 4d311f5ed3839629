import { Type } from '@sinclair/typebox'
import { LONGEST_PATTERN } from '../../events/type-patterns.ts'
import { OneOf } from '../../lib/schema.ts'
import { LAST_EVENT_ID } from './resuming.ts'

const MOST_TYPES = 50

export const StreamParameters = Type.Object({
  types: Type.Optional(
    Type.String({
      pattern: `^[a-z_.*]+(,[a-z_.*]+){0,${MOST_TYPES - 1}}$`,
      maxLength: MOST_TYPES * (LONGEST_PATTERN + 1),
      'x-message': `must be 1 to ${MOST_TYPES} types, such as item.created, or beginnings of types, such as item.*`,
      description:
        'Only events of these types, separated by commas: of `EventType`, or how some of them begin, as in `item.*`.',
    }),
  ),
  scope: OneOf(['own', 'all'], {
    default: 'own',
    description: '`all`: everybody’s events, in full; for administrators.',
  }),
})

export const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      pattern: LAST_EVENT_ID,
      'x-message': 'must be the last id that the stream sent',
      description:
        'The last `id` that was received: the stream goes on behind it. Empty is as good as absent.',
    }),
  ),
})
