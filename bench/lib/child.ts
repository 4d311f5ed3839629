import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { atExit } from './limits.ts'
import { benchScript, temporaryDirectory } from './service.ts'

/** A script of `lib/` in a process of its own, which says when it is prepared, begins when it is told and then reports. */
export async function prepareChild<Task extends object, Report>(script: string, task: Task) {
  const { PATH } = process.env
  const child = fork(benchScript(script), [JSON.stringify(task)], {
    cwd: temporaryDirectory(),
    env: { PATH },
    execArgv: ['--import', import.meta.resolve('tsx')],
  })
  atExit(() => child.kill('SIGKILL'))
  await message(child)
  return {
    run(): Promise<Report> {
      child.send('begin')
      return message(child) as Promise<Report>
    },
  }
}

async function message(child: ChildProcess): Promise<unknown> {
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`A child ended with ${code}.`)
  })
  // It ends after its report, when nobody looks any more.
  died.catch(() => {})
  const [content] = await Promise.race([once(child, 'message'), died])
  return content
}
