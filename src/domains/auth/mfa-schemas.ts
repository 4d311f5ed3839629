import { type Static, Type } from '@sinclair/typebox'
import { component } from '../../lib/schema.ts'

const closed = { additionalProperties: false }

export const TotpEnrolment = component(
  'TotpEnrolment',
  Type.Object(
    {
      secret: Type.String({
        description: 'For authenticators that cannot read the QR code: 20 bytes in base32.',
        examples: ['JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'],
      }),
      otpauth_uri: Type.String({
        description: 'The same for authenticators on this device, which open it.',
        examples: [
          'otpauth://totp/app.example.com:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=app.example.com&algorithm=SHA1&digits=6&period=30',
        ],
      }),
      qr_svg: Type.String({
        description: 'The same as a QR code: an SVG image that grows with its box.',
        examples: ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 57 57">…</svg>'],
      }),
    },
    { description: 'What an authenticator makes its codes of. It is shown this once.' },
  ),
)
export type TotpEnrolment = Static<typeof TotpEnrolment>

export const TotpCode = component(
  'TotpCode',
  Type.Object(
    {
      code: Type.String({
        maxLength: 50,
        pattern: '^\\s*(\\d\\s*){6}$',
        'x-message': 'must be six digits',
        description: 'The six digits that the authenticator shows, with or without spaces.',
        examples: ['123 456'],
      }),
    },
    { ...closed, description: 'Proof that the authenticator has the secret.' },
  ),
)

export const RecoveryCodes = component(
  'RecoveryCodes',
  Type.Object(
    {
      recovery_codes: Type.Array(Type.String({ examples: ['7h3k-9q2m-x4vd-c8zt'] }), {
        minItems: 10,
        maxItems: 10,
        description: 'Each takes the place of a code once, in capitals or not, with or without hyphens.',
      }),
    },
    { description: 'For when the authenticator is out of reach. They are shown this once.' },
  ),
)
