import { lookup, Resolver } from 'node:dns/promises'

export type Resolve = (hostname: string) => Promise<{ address: string; family: number }[]>

/** As any program of this machine does it, with its file of hosts. Two threads do so for all, which two slow names fill. */
export const bySystem: Resolve = hostname => lookup(hostname, { all: true, verbatim: true })

/** Of an answer that does not come; twice, so that a lost packet is no failure. */
const TIMEOUT_MS = 3_000
const TRIES = 2

/** By DNS alone, for names that strangers chose: none waits for another, and nothing else of ours waits for them. */
export function byDns(servers?: readonly string[]): Resolve {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers !== undefined) resolver.setServers(servers)
  return async hostname => {
    const answers = await Promise.allSettled([
      resolver.resolve4(hostname).then(addressesOf(4)),
      resolver.resolve6(hostname).then(addressesOf(6)),
    ])
    return answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
  }
}

const addressesOf = (family: 4 | 6) => (addresses: string[]) =>
  addresses.map(address => ({ address, family }))
