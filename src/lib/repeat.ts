import type { Logger } from 'pino'

interface RepeatOptions {
  every_ms: number
  logger: Logger
  /** What is logged when it begins to fail; once, not at every try. */
  failure: string
}

export interface Repeating {
  /** Does it again at once, or as soon as it is done with what it does now. */
  soon(): void
  /** Resolves when it is over; it does not begin again. */
  end(): Promise<void>
}

/** Does something again and again, never twice at a time, until it is told to end. A failure does not end it. */
export function repeat(
  work: () => Promise<unknown>,
  { every_ms, logger, failure }: RepeatOptions,
): Repeating {
  let ended = false
  let asked = false
  let failing = false
  let stopWaiting = () => {}
  const over = loop()

  return {
    soon() {
      asked = true
      stopWaiting()
    },
    end() {
      ended = true
      stopWaiting()
      return over
    },
  }

  async function loop() {
    while (!ended) {
      asked = false
      await attempt()
      if (!asked && !ended) await pause()
    }
  }

  async function attempt() {
    try {
      await work()
      if (failing) logger.info({ failure }, 'it works again')
      failing = false
    } catch (error) {
      if (!failing) logger.warn({ err: error, failure }, 'failing; it is tried again and again')
      failing = true
    }
  }

  function pause() {
    return new Promise<void>(resolve => {
      const timer = setTimeout(resolve, every_ms)
      stopWaiting = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
