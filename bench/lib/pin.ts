import { execFileSync } from 'node:child_process'

/** Keeps a process, all threads of it, and what it starts from now on, on one core. False where that cannot be had. */
export function pin(pid: number, core: number): boolean {
  try {
    execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
