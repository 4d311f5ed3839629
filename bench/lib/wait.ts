import { setTimeout as sleep } from 'node:timers/promises'

/** Asks again and again until there is an answer other than undefined. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  { everyMs = 5, limitMs = 30_000 } = {},
): Promise<T> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`Waited ${limitMs} ms in vain: ${what}`)
    await sleep(everyMs)
  }
}
