export { exportEvents } from './export.ts'
export { listEvents, listOwnEvents } from './queries.ts'
export { EventPage } from './schemas.ts'
export { type Verification, verifyAudit } from './verify.ts'
