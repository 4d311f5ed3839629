import type { Registry } from 'prom-client'

/** A metric with all its samples, as Prometheus calls it, and as processes send it to each other. */
export interface MetricFamily {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram' | 'summary'
  values: Sample[]
}

export interface Sample {
  value: number
  labels: Record<string, string | number>
  /** Where it is not that of the family, as in a histogram. */
  metricName?: string
}

/** Adds what is counted elsewhere, or known anyway, and only has to be read when somebody asks. */
export function addFamily(
  registry: Registry,
  { values, ...family }: Omit<MetricFamily, 'values'> & { values(): Sample[] },
) {
  // All that a registry asks of a metric; the types want the classes, whose counting costs what ours is to save.
  registry.registerMetric({ ...family, get: async () => ({ ...family, values: values() }) } as never)
}

export async function familiesOf(registry: Registry): Promise<MetricFamily[]> {
  const all = (await registry.getMetricsAsJSON()) as unknown as MetricFamily[]
  return all.map(({ name, help, type, values }) => ({ name, help, type, values }))
}
