import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import {
  circumstances,
  FirstName,
  facts,
  greeting,
  Link,
  paragraph,
  readableTime,
  small,
  Time,
} from './parts.ts'

/** To an address that nobody has shown to be theirs yet. */
export const verifyEmailMail = defineTemplate({
  name: 'verify-email',
  data: Type.Object({ first_name: FirstName, url: Link, expires_at: Time, ...circumstances }),
  subject: () => 'Please confirm your email address',
  preheader: () => 'One click shows that this address is yours.',
  body: ({ first_name, url, expires_at, ...origin }) => [
    greeting(first_name),
    paragraph(
      'Please confirm that this email address is yours. It takes one click, and lets us reach you when it matters, for instance when you have forgotten your password.',
    ),
    { kind: 'button', label: 'Confirm email address', url },
    paragraph(
      `The link works once, until ${readableTime(expires_at)}. If it is too late, sign in and ask for a new one; only the newest link works.`,
    ),
    facts(origin),
    small(
      'If you do not know what this is about, somebody has probably mistyped their own address. Please ignore this mail: without your click the address stays unconfirmed.',
    ),
  ],
})
