import { readdirSync, readFileSync } from 'node:fs'

/** What the kernel counts of a process, in ticks of a hundredth of a second. */
const TICK_MS = 10

export interface Usage {
  /** Of memory, in MB of 1 000 000 bytes. */
  rss: number
  /** Of all cores, so far. */
  cpu_ms: number
}

export function usageOf(pid: number): Usage {
  const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  // The name of the program stands in parentheses and may contain anything; the fields after it are plain.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return { rss: (kib * 1024) / 1_000_000, cpu_ms: (Number(fields[11]) + Number(fields[12])) * TICK_MS }
}

/** Of all its threads so far, in microseconds: to the nanosecond, where the above counts in ticks. */
export function cpuMicrosOf(pid: number): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanoseconds / 1000
}
