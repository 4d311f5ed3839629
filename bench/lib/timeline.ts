import type { Outcome } from './http.ts'
import { countBy, describeCounts } from './stats.ts'

const STEP_MS = 250

/** What was answered when: one line per quarter of a second, neighbours with the same kinds of answers in one. */
export function timeline(outcomes: readonly Outcome[], origin: number): string[] {
  const steps = new Map<number, Outcome[]>()
  for (const outcome of outcomes) {
    const step = Math.floor((outcome.endedAt - origin) / STEP_MS)
    const group = steps.get(step)
    if (group === undefined) steps.set(step, [outcome])
    else group.push(outcome)
  }
  const merged: { from: number; to: number; kinds: string; outcomes: Outcome[] }[] = []
  for (const [step, group] of [...steps].sort(([a], [b]) => a - b)) {
    const kinds = [...countBy(group, ({ result }) => result).keys()].sort().join(' ')
    const last = merged.at(-1)
    if (last?.kinds === kinds && last.to === step) {
      last.to = step + 1
      last.outcomes.push(...group)
    } else {
      merged.push({ from: step, to: step + 1, kinds, outcomes: [...group] })
    }
  }
  return merged.map(({ from, to, outcomes: group }) => {
    const counts = describeCounts(countBy(group, ({ result }) => result))
    return `${seconds(from).padStart(7)} to ${seconds(to).padStart(7)} s   ${counts}`
  })
}

const seconds = (step: number): string => ((step * STEP_MS) / 1000).toFixed(2)
