export { selectPosts } from './queries.ts'
export { AuthorsPostParameters, PostPage } from './schemas.ts'
export { listPosts } from './service.ts'
