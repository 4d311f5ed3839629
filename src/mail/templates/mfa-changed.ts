import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import { circumstances, FirstName, facts, greeting, paragraph } from './parts.ts'

const CHANGES = {
  enabled: {
    subject: 'Two-step verification is on',
    happened:
      'Two-step verification has been turned on for your account. From now on, signing in takes a code from your authenticator app as well as your password. Please keep your recovery codes in a safe place: each lets you in once when the app is out of reach.',
  },
  disabled: {
    subject: 'Two-step verification is off',
    happened:
      'Two-step verification has been turned off for your account. From now on the password alone is enough to sign in, and your recovery codes no longer work.',
  },
  recovery_codes_replaced: {
    subject: 'Your account has new recovery codes',
    happened:
      'New recovery codes have been made for your account, and the old ones no longer work. Please keep the new ones in a safe place: each lets you in once when your authenticator app is out of reach.',
  },
}

export const mfaChangedMail = defineTemplate({
  name: 'mfa-changed',
  data: Type.Object({
    first_name: FirstName,
    change: Type.Union([
      Type.Literal('enabled'),
      Type.Literal('disabled'),
      Type.Literal('recovery_codes_replaced'),
    ]),
    ...circumstances,
  }),
  subject: ({ change }) => CHANGES[change].subject,
  preheader: () => 'If it was you, all is well. If not, please act now.',
  body: ({ first_name, change, ...origin }) => [
    greeting(first_name),
    paragraph(CHANGES[change].happened),
    facts(origin),
    paragraph('If it was you, all is well, and there is nothing to do.'),
    paragraph(
      'If it was not you, somebody else has got into your account. Please change your password now, which signs out every other device, and then look through the security settings of your account. If you can no longer sign in, our support will help you.',
    ),
  ],
})
