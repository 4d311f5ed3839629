import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type nodemailer from 'nodemailer'
import type { Config } from '../config.ts'
import { timeOfId } from '../lib/id.ts'
import { envelopeOf, type Message, type Transport } from './message.ts'

/** For development: each mail becomes a file in the data directory, which any mail program opens. */
export function createFileTransport(mailer: typeof nodemailer, config: Config): Transport {
  const composer = mailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  const directory = resolve(config.DATA_DIR, 'mail')
  return {
    async send(message, logger) {
      const { message: content } = await composer.sendMail(envelopeOf(config, message))
      const file = join(directory, nameOf(message))
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await writeWhole(file, content as Buffer)
      logger.info({ file: pathToFileURL(file).href }, 'mail written to a file, as MAIL_SERVER is not set')
    },
  }
}

/** Sorts by time, and is the same when the mail is sent again. */
function nameOf({ id }: Message): string {
  return `${timeOfId(id).toISOString().replaceAll(':', '-')}-${id}.eml`
}

/** Under another name first, so that whoever watches the directory never reads half a mail. */
async function writeWhole(file: string, content: Buffer) {
  const unfinished = `${file}.${randomBytes(4).toString('hex')}.tmp`
  try {
    await writeFile(unfinished, content, { flag: 'wx', mode: 0o600 })
    await rename(unfinished, file)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw error
  }
}
