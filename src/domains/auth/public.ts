export { removeMfa } from './mfa.ts'
