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

export const resetPasswordMail = defineTemplate({
  name: 'reset-password',
  data: Type.Object({ first_name: FirstName, url: Link, expires_at: Time, ...circumstances }),
  subject: () => 'Choose a new password',
  preheader: ({ expires_at }) => `The link works once, until ${readableTime(expires_at)}.`,
  body: ({ first_name, url, expires_at, ...origin }) => [
    greeting(first_name),
    paragraph(
      'Somebody, we hope you, has forgotten the password of your account. Here you choose a new one:',
    ),
    { kind: 'button', label: 'Choose a new password', url },
    paragraph(
      `The link works once, until ${readableTime(expires_at)}; if you ask for another, only the newest works. Once the new password is set, every device is signed out, and you sign in again with it.`,
    ),
    facts(origin),
    small('If it was not you, please ignore this mail. Nothing has changed, and your password still works.'),
  ],
})
