import { type Static, Type } from '@sinclair/typebox'
import { oneLine } from '../render.ts'
import type { Block } from '../template.ts'

const MAX_SHOWN_LENGTH = 200

export const FirstName = text(100)
export const MailAddress = text(254)
export const Link = text(2_000)

/** As `toISOString` writes it. */
export const Time = text(40)

/** When something happened, and from where. */
export const circumstances = {
  at: Time,
  ip: Type.Union([text(100), Type.Null()]),
  user_agent: Type.Union([text(500), Type.Null()]),
}
const Circumstances = Type.Object(circumstances)

/** Requests are bounded in characters, TypeBox counts UTF-16 units, and a character may be two. */
function text(maxCharacters: number) {
  return Type.String({ maxLength: 2 * maxCharacters })
}

export function greeting(firstName: string): Block {
  const name = oneLine(firstName)
  return { kind: 'paragraph', text: name === '' || looksLikeLink(name) ? 'Hello,' : `Hello ${name},` }
}

export const paragraph = (text: string): Block => ({ kind: 'paragraph', text })

export const small = (text: string): Block => ({ kind: 'small', text })

/** The facts by which people tell whether it was they. */
export function facts(
  { at, ip, user_agent }: Static<typeof Circumstances>,
  ...others: (readonly [label: string, value: string])[]
): Block {
  return {
    kind: 'facts',
    facts: [
      ...others,
      ['When', readableTime(at)],
      ['IP address', foreign(ip)],
      ['Browser or app', foreign(user_agent)],
    ],
  }
}

const dates = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' })

/** Like `21 November 2026, 08:00 UTC`. */
export function readableTime(iso: string): string {
  const time = new Date(iso)
  return `${dates.format(time)}, ${time.toISOString().slice(11, 16)} UTC`
}

/** What the caller sent, who may be an attacker that writes to the owner through us. */
function foreign(value: string | null): string {
  const line = oneLine(value ?? '')
  const cut = line.length > MAX_SHOWN_LENGTH ? `${line.slice(0, MAX_SHOWN_LENGTH)}…` : line
  const words = cut.split(' ').map(word => (looksLikeLink(word) ? '…' : word))
  return words.join(' ') || 'unknown'
}

/** What mail programs make a link of, unasked: a stranger must not place one in a mail of ours. */
const looksLikeLink = (text: string) => /:\/\/|@|\.\p{L}{2}/u.test(text)
