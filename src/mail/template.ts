import type { Static, TSchema } from '@sinclair/typebox'

/** What a mail may consist of. Few kinds, so that each can be had as text and as HTML, and neither lacks anything. */
export type Block =
  | { kind: 'paragraph'; text: string }
  | { kind: 'button'; label: string; url: string }
  | { kind: 'code'; text: string }
  | { kind: 'facts'; facts: readonly (readonly [label: string, value: string])[] }
  | { kind: 'small'; text: string }

/** A kind of mail. Its data waits as JSON in the job that sends it. */
export interface Template<Data extends TSchema = TSchema> {
  name: string
  /** Checked when the mail is asked for, and again when it is sent, perhaps by another release. */
  data: Data
  subject(data: Static<Data>): string
  /** What mail programs show beside the subject before a mail is opened. */
  preheader(data: Static<Data>): string
  body(data: Static<Data>): Block[]
}

/** Gives the functions of a template the type of its data. */
export const defineTemplate = <Data extends TSchema>(template: Template<Data>): Template<Data> => template
