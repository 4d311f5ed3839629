import type { Curve, Step } from '../overload.ts'
import { type Panel, plot } from './plot.ts'

const titles: Record<string, string> = {
  requests: 'Lists, items, creates: the event loop is scarce',
  searches: 'Searches: the database is scarce',
}

/** What is served, and how long it takes, over what is offered: with load shedding and without. */
export function overloadPlot(curves: Curve[]): string {
  const mixes = [...new Set(curves.map(({ mix }) => mix))]
  return plot('Offered load from half to four times the capacity', mixes.map(rowOf))

  function rowOf(mix: string): Panel[] {
    const on = curves.find(curve => curve.mix === mix && curve.shedding)
    const off = curves.find(curve => curve.mix === mix && !curve.shedding)
    const points = (curve: Curve | undefined, value: (step: Step) => number | null) =>
      (curve?.steps ?? []).map(step => [step.factor, value(step) ?? Number.NaN] as [number, number])
    const x_label = `offered, as a multiple of the capacity (${on?.capacity.toFixed(0)}/s)`
    return [
      {
        title: titles[mix] ?? mix,
        x_label,
        y_label: 'requests per second',
        lines: [
          { name: 'served within 1 s', colour: '#0a7d33', points: points(on, s => s.good / s.seconds) },
          { name: 'refused with 503', colour: '#c77700', points: points(on, s => s.refused / s.seconds) },
          {
            name: 'served within 1 s, shedding off',
            colour: '#b00020',
            dashed: true,
            points: points(off, s => s.good / s.seconds),
          },
        ],
      },
      {
        title: '99 of 100 are answered within',
        x_label,
        y_label: 'milliseconds',
        logarithmic: true,
        lines: [
          { name: 'admitted', colour: '#0a7d33', points: points(on, s => s.admitted_ms.p99) },
          { name: 'refused', colour: '#c77700', points: points(on, s => s.refused_ms.p99) },
          {
            name: 'shedding off',
            colour: '#b00020',
            dashed: true,
            points: points(off, s => s.admitted_ms.p99),
          },
          { name: 'GET /health/live', colour: '#1a56c4', points: points(on, s => s.health_ms.p99) },
        ],
      },
    ]
  }
}
