const cleanups: (() => void)[] = []

process.on('exit', () => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

/** Runs when this process ends, however it ends short of SIGKILL; nothing that a bench started outlives it. */
export function atExit(cleanup: () => void) {
  cleanups.push(cleanup)
}

/** A bench that hangs has failed. */
export function endAfter(seconds: number) {
  const timer = setTimeout(() => {
    console.error(`Gave up after ${seconds} s.`)
    process.exit(1)
  }, seconds * 1000)
  timer.unref()
}

/** Says what was expected and not found; the exit code tells it to scripts. */
export function expect(holds: boolean, expectation: string) {
  console.log(`${holds ? 'ok    ' : 'FAILED'}  ${expectation}`)
  if (!holds) process.exitCode = 1
}
