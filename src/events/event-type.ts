import type { Static, TObject } from '@sinclair/typebox'

/** A kind of change. Its name is the subject and a verb in the past tense, as in `item.published`. */
export interface EventType<Fields extends TObject = TObject> {
  name: `${string}.${string}`
  subject: string
  /**
   * The fields that `changes` may show, and nothing else gets in. Take them from the schema of what clients see: a hash
   * or a secret is not in it, so it cannot be in an event, whatever the row that is recorded holds.
   */
  fields: Fields
  /**
   * Whether the transaction tells every process (`committed.ts`). Such a commit takes a lock that the whole server shares,
   * so only of what is seldom written, and read everywhere.
   */
  announced: boolean
}

/** Every kind, for filters and documentation. Filled by `defineEvent`, so it cannot lag behind the code. */
const catalogue = new Map<string, EventType>()

/** Their names, sorted. A schema that holds this very array lists all of them, whenever it is made. */
export const eventTypeNames: string[] = []

export function defineEvent<Fields extends TObject>(
  name: EventType['name'],
  fields: Fields,
  { announced = false } = {},
): EventType<Fields> {
  if (catalogue.has(name)) throw new Error(`The event type ${name} is defined twice.`)
  const type = { name, subject: name.slice(0, name.indexOf('.')), fields, announced }
  catalogue.set(name, type)
  eventTypeNames.push(name)
  eventTypeNames.sort()
  return type
}

export const allEventTypes = (): readonly EventType[] => [...catalogue.values()]

/** The state of a subject as far as its event shows it. A whole row may be passed: what is not a field is left out. */
export type State<Fields extends TObject> = Partial<Static<Fields>>
