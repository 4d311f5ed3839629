/** Pages on the developer's own machine, whatever the port. */
export const LOCALHOST_ORIGIN = /^https?:\/\/([a-z0-9-]+\.)*(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/
