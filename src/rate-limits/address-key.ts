import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** What a single customer of a provider is given: whoever has one has all the addresses in it. */
const SHARED_BITS = 64

/** Whom an address stands for: itself, or the /64 that it is in. The same address in two notations is one. */
export function addressKey(address: string): string {
  if (isIP(address) !== 6) return address
  // A zone says on which of our own links it is.
  const parsed = ipaddr.IPv6.parse(address.split('%', 1)[0] as string)
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString()
  const groups = parsed.parts.slice(0, SHARED_BITS / 16).map(group => group.toString(16))
  return `${groups.join(':')}::/${SHARED_BITS}`
}
