import { loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import { migrate } from '../db/migrate.ts'
import { Progress } from '../lib/progress.ts'
import type { Command } from './command.ts'

const run: Command = async () => {
  const database = await connect(loadConfig())
  try {
    let progress: Progress | undefined
    const applied = await migrate(database, (done, total) => {
      progress ??= new Progress('Migrating', total)
      progress.update(done)
    })
    process.stdout.write(
      applied === 0 ? 'The database is up to date.\n' : `Migrations applied: ${applied}.\n`,
    )
    return 0
  } finally {
    await database.close()
  }
}

export default run
