import { parseArgs } from 'node:util'
import { describeConfig, exampleEnvironment, loadConfig } from '../config.ts'
import type { Command } from './command.ts'

const run: Command = async args => {
  const { values } = parseArgs({ args, options: { example: { type: 'boolean', default: false } } })
  process.stdout.write(values.example ? exampleEnvironment() : `${describeConfig(loadConfig()).join('\n')}\n`)
  return 0
}

export default run
