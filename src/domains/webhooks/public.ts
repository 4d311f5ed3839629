export { readDeliveriesOf, readWebhooksOf } from './queries.ts'
