export { selectPosts } from './queries.ts'
