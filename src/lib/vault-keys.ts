interface Secrets {
  readonly JWT_SECRET_KEY: string
  readonly JWT_SECRET_KEY_PREVIOUS?: string
}

/** What a vault is made of: the key of today, and the one before while there is one. */
export const secretsOf = ({ JWT_SECRET_KEY, JWT_SECRET_KEY_PREVIOUS }: Secrets): [string, ...string[]] =>
  JWT_SECRET_KEY_PREVIOUS === undefined ? [JWT_SECRET_KEY] : [JWT_SECRET_KEY, JWT_SECRET_KEY_PREVIOUS]
