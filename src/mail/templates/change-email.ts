import { Type } from '@sinclair/typebox'
import { defineTemplate } from '../template.ts'
import {
  circumstances,
  FirstName,
  facts,
  greeting,
  Link,
  MailAddress,
  paragraph,
  readableTime,
  small,
  Time,
} from './parts.ts'

/** To the new address, which may be anybody's until the link has been followed. */
export const changeEmailMail = defineTemplate({
  name: 'change-email',
  data: Type.Object({
    first_name: FirstName,
    url: Link,
    new_email: MailAddress,
    expires_at: Time,
    ...circumstances,
  }),
  subject: () => 'Please confirm your new email address',
  preheader: () => 'One click, and your account moves to this address.',
  body: ({ first_name, url, new_email, expires_at, ...origin }) => [
    greeting(first_name),
    paragraph(
      `You asked us to use ${new_email} for your account from now on. Please confirm that this address is yours:`,
    ),
    { kind: 'button', label: 'Confirm new address', url },
    paragraph(
      `The link works once, until ${readableTime(expires_at)}. Until you follow it, your account keeps its old address.`,
    ),
    facts(origin),
    small(
      'If it was not you, somebody has probably mistyped their own address. Please ignore this mail: without your click nothing changes.',
    ),
  ],
})
