import fp from 'fastify-plugin'
import { Registry } from 'prom-client'
import { addFamily } from '../lib/metric-family.ts'
import { packageVersion } from '../lib/package.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What is counted and measured here; whoever counts registers its metrics with it. */
    metrics: Registry
  }
}

/** One registry per app, not the library's own for the whole process: tests build many. */
export default fp(
  async app => {
    const metrics = new Registry()
    app.decorate('metrics', metrics)
    describeProcess(metrics)
  },
  { name: 'metrics' },
)

/** By the names that Prometheus' own clients give them, so that dashboards know them. */
function describeProcess(metrics: Registry) {
  const started = Date.now() / 1000 - process.uptime()
  const facts: [name: string, help: string, read: () => number, labels?: Record<string, string>][] = [
    ['plinth_build_info', 'What runs.', () => 1, { version: packageVersion, node: process.versions.node }],
    ['process_start_time_seconds', 'When the process started, in seconds since 1970.', () => started],
    ['process_resident_memory_bytes', 'Memory that the process holds.', () => process.memoryUsage.rss()],
    ['nodejs_heap_size_used_bytes', 'Of that, what JavaScript uses.', () => process.memoryUsage().heapUsed],
  ]
  for (const [name, help, read, labels = {}] of facts) {
    addFamily(metrics, { name, help, type: 'gauge', values: () => [{ value: read(), labels }] })
  }
}
