import type { Template } from '../template.ts'
import { testMail } from './test.ts'

const templates: readonly Template[] = [testMail]

export const findTemplate = (name: string): Template | undefined =>
  templates.find(template => template.name === name)
