import { resealing } from '../jobs/reseal.ts'
import { users } from './tables.ts'

export const resealSecrets = resealing({
  name: 'accounts.reseal-secrets',
  summary: 'Seals TOTP secrets with JWT_SECRET_KEY, so that JWT_SECRET_KEY_PREVIOUS can go',
  schedule: '7 4 * * *',
  purpose: 'accounts',
  table: users,
  columns: [users.totp_secret],
})
