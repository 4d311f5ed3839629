// Every domain, one line each; app.ts mounts them in this order.

export { default as audit } from './audit/index.ts'
export { default as auth } from './auth/index.ts'
export { default as documentation } from './documentation/index.ts'
export { default as events } from './events/index.ts'
export { default as health } from './health/index.ts'
export { default as items } from './items/index.ts'
export { default as jobs } from './jobs/index.ts'
export { default as posts } from './posts/index.ts'
export { default as rateLimit } from './rate-limit/index.ts'
export { default as users } from './users/index.ts'
export { default as webhooks } from './webhooks/index.ts'
export { default as wellKnown } from './well-known/index.ts'
