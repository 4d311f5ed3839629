/** A moment as answers hold it, in SQL: the drivers, and JSON of Postgres, would each write it in another form. */
export const momentText = (value: string) =>
  `to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** A moment that raw SQL has read: one driver hands it over as text, the other as a date. */
export const momentOf = (value: unknown): Date => new Date(value as string | Date)
