import cluster, { type Worker } from 'node:cluster'
import { Registry } from 'prom-client'
import { addFamily, familiesOf, type MetricFamily } from './metric-family.ts'

// A scrape meets one of the processes that share the port, any one, and has to hear of all: it asks the supervisor, which
// asks the others. Each one's samples stay apart, because memory and such cannot be added up, and counters of a process
// that was replaced begin at 0 again.

/** One that takes longer hangs, and the others should not be missed because of it. */
const PATIENCE_MS = 500

/** On top of that, for the way there and back. */
const MARGIN_MS = 500

/** `wanted` goes up to the supervisor, `give` down to all, `given` up again, and `all` down to who asked. */
type Message =
  | { metrics: 'wanted' | 'give'; id: number }
  | { metrics: 'given'; id: number; families: MetricFamily[] }
  | { metrics: 'all'; id: number; processes: ProcessMetrics[] }

interface ProcessMetrics {
  process: number
  /** Null if it did not answer. */
  families: MetricFamily[] | null
}

let lastId = 0

/** All that is known of this process, or of all in its cluster, as Prometheus reads it. */
export async function metricsText(registry: Registry): Promise<string> {
  if (!cluster.isWorker) return registry.metrics()
  const processes = (await askSupervisor()) ?? [await ownMetrics(registry)]
  return mergedRegistry(processes).metrics()
}

/** In each web process: gives what it counts to whoever asks. */
export function giveMetrics(registry: Registry) {
  process.on('message', (message: Message) => {
    if (message?.metrics !== 'give') return
    const { id } = message
    familiesOf(registry).then(
      families => tell(process, { metrics: 'given', id, families }),
      // Who cannot tell counts as one who does not answer; it is no reason to end.
      () => {},
    )
  })
}

/** In the supervisor: gathers for this process what the others count. */
export function gatherMetricsFor(worker: Worker, members: ReadonlySet<Worker>) {
  worker.on('message', async (message: Message) => {
    if (message?.metrics !== 'wanted') return
    const asked = new Set([...members, worker])
    const processes = await Promise.all([...asked].map(askProcess))
    tell(worker, { metrics: 'all', id: message.id, processes })
  })
}

async function askProcess(worker: Worker): Promise<ProcessMetrics> {
  const id = ++lastId
  const given = answerTo(worker, PATIENCE_MS, message => message.metrics === 'given' && message.id === id)
  tell(worker, { metrics: 'give', id })
  const answer = await given
  return { process: worker.id, families: answer?.metrics === 'given' ? answer.families : null }
}

/** Undefined if it is not there any more, or does not answer. */
async function askSupervisor(): Promise<ProcessMetrics[] | undefined> {
  const id = ++lastId
  const all = answerTo(
    process,
    PATIENCE_MS + MARGIN_MS,
    message => message.metrics === 'all' && message.id === id,
  )
  tell(process, { metrics: 'wanted', id })
  const answer = await all
  return answer?.metrics === 'all' ? answer.processes : undefined
}

const ownMetrics = async (registry: Registry): Promise<ProcessMetrics> => ({
  process: cluster.worker?.id ?? 0,
  families: await familiesOf(registry),
})

function answerTo(
  peer: Worker | NodeJS.Process,
  patience_ms: number,
  isAnswer: (message: Message) => boolean,
): Promise<Message | undefined> {
  return new Promise(resolve => {
    const timer = setTimeout(end, patience_ms)
    peer.on('message', listen)

    function listen(message: Message) {
      if (typeof message === 'object' && message !== null && isAnswer(message)) end(message)
    }

    function end(message?: Message) {
      clearTimeout(timer)
      peer.off('message', listen)
      resolve(message)
    }
  })
}

/** To one that has just ended, nothing is told, and that is no fault: the callback keeps it from being an `error`. */
function tell(peer: Worker | NodeJS.Process, message: Message) {
  peer.send?.(message, undefined, undefined, () => {})
}

function mergedRegistry(processes: ProcessMetrics[]): Registry {
  const merged = new Map<string, MetricFamily>()
  for (const { process, families } of processes) {
    for (const { values, ...family } of families ?? []) {
      const all = merged.get(family.name) ?? { ...family, values: [] }
      for (const sample of values) all.values.push({ ...sample, labels: { ...sample.labels, process } })
      merged.set(family.name, all)
    }
  }
  const registry = new Registry()
  addFamily(registry, {
    name: 'plinth_process_answered',
    help: 'Whether a process told its metrics in time: 0, and it hangs, and what it counts is missing here.',
    type: 'gauge',
    values: () =>
      processes.map(({ process, families }) => ({ value: families === null ? 0 : 1, labels: { process } })),
  })
  for (const { values, ...family } of merged.values())
    addFamily(registry, { ...family, values: () => values })
  return registry
}
