/**
 * What is kept is never deleted because something changed: it is kept under a generation, and a change begins another one.
 * Whoever reads asks for the generation first, and then the database. So what somebody has read before a change, and keeps
 * after it, is kept where nobody looks any more; deleting would have come too early for it.
 */
export interface Generations {
  /** Undefined where nobody can be sure: then nothing that is kept may be used, and nothing be kept. */
  current(subject: string): string | undefined | Promise<string | undefined>
  /** Begins another generation, which holds for everybody once it is `settled`. It never throws. */
  renew(subject: string): void
  /** Resolves when all that was begun so far holds everywhere, or can wait no longer; undefined where it does already. */
  settled(): Promise<unknown> | undefined
  end(): Promise<void>
}

/** When there are more, all of them begin anew. */
const MOST_SUBJECTS = 10_000

/** For a process that makes all changes itself. */
export function generationsInMemory(): Generations & { renewAll(): void } {
  const generations = new Map<string, number>()
  /** Never the same twice, so that nobody has to remember what there was before. */
  let last = 0
  let common = 0

  return {
    current: subject => String(generations.get(subject) ?? common),
    renew(subject) {
      if (generations.size >= MOST_SUBJECTS) renewAll()
      generations.set(subject, ++last)
    },
    renewAll,
    settled: () => undefined,
    async end() {},
  }

  function renewAll() {
    generations.clear()
    common = ++last
  }
}
