import { Counter, Gauge, type Registry } from 'prom-client'
import { OVERLOAD_REASONS, type Overload, type OverloadReason } from '../lib/overload.ts'

/** What operators see of it. The gauges are read when they are asked for. */
export function exportOverload(registry: Registry, { figures }: Overload) {
  const registers = [registry]
  const shed = new Counter({
    name: 'plinth_shed_requests_total',
    help: 'Requests refused with 503 because there was more to do than could be done',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of OVERLOAD_REASONS) shed.inc({ reason }, 0)
  gauge(
    'plinth_event_loop_wait_seconds',
    'What a request has to wait now for its turn on the event loop',
    () => figures(performance.now()).event_loop_wait_ms / 1000,
  )
  gauge(
    'plinth_database_wait_seconds',
    'What a statement has to wait now for a connection, or behind another one',
    () => figures(performance.now()).database_wait_ms / 1000,
  )
  gauge(
    'plinth_heap_survived_ratio',
    'Share of its limit that the heap had in use after garbage was last collected in full',
    () => figures(performance.now()).heap_share,
  )
  return (reason: OverloadReason) => shed.inc({ reason })

  function gauge(name: string, help: string, read: () => number) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
}
