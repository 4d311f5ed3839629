import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, paragraph, readableTime, Time } from './parts.ts'

/** The circumstances are those of the last attempt. */
export const accountLockedMail = defineTemplate({
  name: 'account-locked',
  data: Type.Object({
    first_name: FirstName,
    locked_until: Time,
    failures: Type.Optional(Type.Integer()),
    ...circumstances,
  }),
  subject: () => 'Your account is locked for a while',
  preheader: ({ locked_until }) => `Until ${readableTime(locked_until)}, or until you reset your password.`,
  body: ({ first_name, locked_until, failures, ...origin }) => [
    greeting(first_name),
    paragraph(
      `${failures === undefined ? 'Too many' : failures} attempts to sign in to your account have failed. To protect it, nobody can sign in with its password until ${readableTime(locked_until)}. Devices that are signed in stay so.`,
    ),
    paragraph('This was the last attempt:'),
    facts(origin),
    paragraph(
      'If it was you, please wait until then. Or reset your password, with “Forgot password” where you sign in: that unlocks your account at once.',
    ),
    paragraph(
      'If it was not you, these attempts did not get in, and the lock ends by itself. If you use the same password anywhere else, please reset it and choose one that you use nowhere but here.',
    ),
  ],
})
