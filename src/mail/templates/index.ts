import type { Template } from '../template.ts'
import { accountLockedMail } from './account-locked.ts'
import { changeEmailMail } from './change-email.ts'
import { emailChangeRequestedMail } from './email-change-requested.ts'
import { emailChangedMail } from './email-changed.ts'
import { mfaChangedMail } from './mfa-changed.ts'
import { newDeviceMail } from './new-device.ts'
import { passwordChangedMail } from './password-changed.ts'
import { resetPasswordMail } from './reset-password.ts'
import { testMail } from './test.ts'
import { verifyEmailMail } from './verify-email.ts'
import { webhookDisabledMail } from './webhook-disabled.ts'

const templates: readonly Template[] = [
  testMail,
  verifyEmailMail,
  resetPasswordMail,
  changeEmailMail,
  emailChangeRequestedMail,
  emailChangedMail,
  newDeviceMail,
  passwordChangedMail,
  mfaChangedMail,
  accountLockedMail,
  webhookDisabledMail,
]

export const findTemplate = (name: string): Template | undefined =>
  templates.find(template => template.name === name)
