// The BSD sysexits that service managers know.

/** A command was called with words that it does not know. */
export const EXIT_USAGE = 64

/** The environment has faults: starting again cannot help. */
export const EXIT_CONFIG = 78

/** What the service needs of the machine, such as its port, is not to be had. */
export const EXIT_UNAVAILABLE = 69

/** Something outside is in the way, such as another process on the embedded database: try later. */
export const EXIT_TEMPORARY = 75

/** A reason to stop that is told to the operator as one sentence, without a stack. */
export class StartupError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1, cause?: unknown) {
    super(message, { cause })
    this.exitCode = exitCode
  }
}
