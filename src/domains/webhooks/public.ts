export { readDeliveriesOf, readWebhooksOf } from './queries.ts'
export { readStanding, type Standing } from './standing.ts'
