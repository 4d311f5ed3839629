export { pageKey, publicPosts } from './kept.ts'
export { selectPosts } from './queries.ts'
export { AuthorsPostParameters, PostPage } from './schemas.ts'
export { listPosts } from './service.ts'
