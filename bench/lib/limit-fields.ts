import { parseList } from 'structured-headers'
import { type Answer, fieldOf } from './connection.ts'

/** One limit, as an answer tells it in `RateLimit-Policy` and `RateLimit`. */
export interface Told {
  name: string
  quota: number
  window: number
  left: number
  resets: number
}

/** Read by a parser of RFC 9651, which throws where the fields are none. */
export function limitsTold({ head }: Pick<Answer, 'head'>): Told[] {
  const policies = parseList(fieldOf(head, 'ratelimit-policy') ?? '')
  const standings = parseList(fieldOf(head, 'ratelimit') ?? '')
  if (policies.length === 0 || policies.length !== standings.length) throw new Error(`No limits in: ${head}`)
  return policies.map(([name, policy], index) => {
    const [same, standing] = standings[index] as (typeof standings)[number]
    if (name !== same) throw new Error(`Two orders of limits in: ${head}`)
    return {
      name: String(name),
      quota: Number(policy.get('q')),
      window: Number(policy.get('w')),
      left: Number(standing.get('r')),
      resets: Number(standing.get('t')),
    }
  })
}
