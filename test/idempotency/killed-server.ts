import { PGlite } from '@electric-sql/pglite'
import { runProcess } from '../../src/process.ts'
import { startServer } from '../../src/server.ts'

// The service, which dies as soon as the embedded database has committed an answer that is to be kept.

const { execProtocolRaw } = PGlite.prototype
let kept = false

PGlite.prototype.execProtocolRaw = async function (message, options) {
  const text = Buffer.from(message).toString('latin1')
  const result = await execProtocolRaw.call(this, message, options)
  if (text.includes('update idempotency_keys set answer')) kept = true
  if (kept && text.includes('COMMIT')) process.kill(process.pid, 'SIGKILL')
  return result
}

await runProcess(startServer)
