/** How often something may be done in how long. */
export interface Rate {
  quota: number
  unit: Unit
  seconds: number
}

type Unit = keyof typeof SECONDS

const SECONDS = { second: 1, minute: 60, hour: 3_600, day: 86_400 }

/** A structured field (RFC 9651) holds no larger number; and nobody means one. */
const MOST = 999_999_999_999

const RATE = new RegExp(`^([1-9]\\d{0,11})\\s*/\\s*(${Object.keys(SECONDS).join('|')})$`)

/** Reads `100/hour; 10/second`, all of which hold at once; undefined when it is something else. */
export function readRates(text: string): Rate[] | undefined {
  const rates = text.split(';').map(readRate)
  const units = new Set(rates.map(rate => rate?.unit))
  // Two rates of one unit are a mistake: the greater would never count.
  return units.has(undefined) || units.size < rates.length ? undefined : (rates as Rate[])
}

function readRate(text: string): Rate | undefined {
  const [, quota, unit] = RATE.exec(text.trim()) ?? []
  if (quota === undefined || Number(quota) > MOST) return undefined
  return { quota: Number(quota), unit: unit as Unit, seconds: SECONDS[unit as Unit] }
}
