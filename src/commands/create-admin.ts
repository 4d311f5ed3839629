import { parseArgs } from 'node:util'
import { AjvCompiler } from '@fastify/ajv-compiler'
import { type TProperties, Type } from '@sinclair/typebox'
import type { Accounts } from '../accounts/accounts.ts'
import { NewUserFields } from '../accounts/schemas.ts'
import { createUser } from '../accounts/users.ts'
import { systemActor } from '../lib/actor.ts'
import { EXIT_USAGE, StartupError } from '../lib/exit-codes.ts'
import { isText } from '../lib/text.ts'
import type { Command } from './command.ts'
import { readPassword } from './read-password.ts'
import { userByEmail, withAccounts } from './with-accounts.ts'

interface Person {
  email: string
  first_name: string
  last_name: string
}

const run: Command = args => {
  const person = readPerson(args)
  return withAccounts(async accounts => {
    // Before anybody types a password in vain.
    await refuseTaken(accounts, person.email)
    return createAdmin(accounts, person, await readPassword())
  })
}

export default run

function readPerson(args: string[]): Person {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      'first-name': { type: 'string', default: 'Admin' },
      'last-name': { type: 'string', default: 'User' },
    },
  })
  const [email, ...others] = positionals
  if (email === undefined || others.length > 0) {
    throw new StartupError('Say for whom: plinth create-admin EMAIL, as in name@example.com.', EXIT_USAGE)
  }
  const person = { email, first_name: values['first-name'], last_name: values['last-name'] }
  const { password, password_confirm, ...asked } = NewUserFields
  demandValid(asked, person, EXIT_USAGE)
  return person
}

/** An account that the API would refuse could not sign in, so its own validator and schemas decide. */
function demandValid(fields: TProperties, values: Record<string, string>, exitCode = 1) {
  const customOptions = { allErrors: true, strictSchema: false, coerceTypes: false }
  const validate = AjvCompiler()({}, { customOptions })({ schema: Type.Object(fields) } as never) as Validate
  const faults = validate(values) ? [] : (validate.errors ?? [])
  const sentences = faults.map(({ instancePath, message }) => `${instancePath.slice(1)} ${message}`)
  for (const [name, value] of Object.entries(values)) {
    if (!isText(value)) sentences.push(`${name} holds a character that no text can hold`)
  }
  if (sentences.length > 0) throw new StartupError(`Not valid: ${sentences.join('; ')}.`, exitCode)
}

interface Validate {
  (values: unknown): boolean
  errors?: { instancePath: string; message?: string }[] | null
}

async function refuseTaken(accounts: Accounts, email: string) {
  if ((await userByEmail(accounts, email)) === undefined) return
  throw new StartupError(
    `There is a user with this e-mail already. \`plinth users set-role ${email} admin\` makes an administrator of them.`,
  )
}

/** Whoever holds the command line vouches for the e-mail. */
export async function createAdmin(accounts: Accounts, person: Person, password: string): Promise<string> {
  demandValid({ password: NewUserFields.password }, { password })
  const standing = { role: 'admin', is_active: true, email_verified: true } as const
  const { email } = await createUser(accounts, systemActor(), { ...person, ...standing, password })
  return `${email} is an administrator now.`
}
