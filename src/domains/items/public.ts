export { selectItems } from './queries.ts'
