export { retry } from './service.ts'
