/** What an `Authorization` header bears; undefined when there is none, or of another kind. */
export const bearerToken = (authorization: string | undefined): string | undefined =>
  /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
