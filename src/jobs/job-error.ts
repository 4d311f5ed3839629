import { describeError, rootCause } from '../lib/log.ts'
import type { JobError } from './leases.ts'

const MAX_MESSAGE_LENGTH = 500

/** What is kept of an error, and shown to administrators: no stack, no SQL, no path, and nothing that cannot be stored. */
export function storableError(error: unknown): JobError {
  const root = rootCause(error)
  const { type, message, code } = describeError(root)
  const text = isSystemError(root) ? `${root.syscall} failed` : message
  const stored = text
    .toWellFormed()
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, MAX_MESSAGE_LENGTH)
  return { type, message: stored, ...(typeof code === 'string' && { code }) }
}

/** Those of the operating system name files and addresses. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException & { syscall: string } =>
  error instanceof Error && 'syscall' in error && typeof error.syscall === 'string'
