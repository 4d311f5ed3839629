import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { defineJob, PermanentFailure } from '../jobs/job.ts'
import { type Letter, openLetter } from './letter.ts'
import { sendingFailure } from './refusal.ts'
import { type Rendered, render } from './render.ts'
import { findTemplate } from './templates/index.ts'
import { transportOf } from './transport.ts'

/** Sends one mail. After a crash it may go out twice, with the same Message-ID, by which programs fold the two. */
export const sendMail = defineJob({
  name: 'mail.send',
  summary: 'Send a mail',
  payload: Type.Object({ sealed: Type.String() }, { additionalProperties: false }),
  // Ten more tries within 17 to 34 hours, the first after one or two minutes: as long as a server may be out of order.
  retries: 10,
  backoff_seconds: 60,
  concurrency: 4,
  lease_seconds: 60,

  async run({ sealed }, { config, actor, logger }) {
    const letter = permanently(() => openLetter(config, sealed))
    const rendered = permanently(() => renderLetter(letter))
    const transport = await transportOf(config)
    if (transport === undefined) throw new Error('Mail is off in this process: MAIL_SERVER is not set.')
    const { id, to } = letter
    try {
      await transport.send({ id, to, ...rendered, headers: headersFor(actor.origin.request_id) }, logger)
    } catch (error) {
      throw sendingFailure(error, to, letter.data)
    }
  },
})

/** What cannot be read or rendered now never will be. */
function permanently<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new PermanentFailure((error as Error).message)
  }
}

function renderLetter({ template: name, data }: Letter): Rendered {
  const template = findTemplate(name)
  if (template === undefined) throw new Error(`There is no mail template ${name}.`)
  const fault = Value.Errors(template.data, data).First()
  if (fault !== undefined) throw new Error(`The data of a mail ${name} does not fit: ${fault.path} is wrong.`)
  return render(template, data)
}

function headersFor(requestId: string | null): Record<string, string> {
  return {
    // So that nobody's holiday responder answers.
    'Auto-Submitted': 'auto-generated',
    ...(requestId !== null && { 'X-Request-Id': requestId }),
  }
}
