export { exportEvents } from './export.ts'
export { type Verification, verifyAudit } from './verify.ts'
