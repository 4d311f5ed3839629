import { Progress } from '../lib/progress.ts'
import { prepareDatabase } from '../prepare.ts'
import type { Command } from './command.ts'
import { withDatabase } from './with-database.ts'

const run: Command = () =>
  withDatabase(async database => {
    let progress: Progress | undefined
    const applied = await prepareDatabase(database, (done, total) => {
      progress ??= new Progress('Migrating', total)
      progress.update(done)
    })
    process.stdout.write(
      applied === 0 ? 'The database is up to date.\n' : `Migrations applied: ${applied}.\n`,
    )
    return 0
  })

export default run
