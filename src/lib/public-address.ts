import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Range<Address> = [network: Address, bits: number]

/** Looks public, but is where Azure tells each of its machines about itself. */
const AZURE_WIRE_SERVER = '168.63.129.16'

/** IPv6 that has been given out to be reached from everywhere. What else lies in it is special, and ipaddr.js knows it. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3') as Range<ipaddr.IPv6>

/** Behind it, a gateway connects to the IPv4 address in the last four bytes. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96') as Range<ipaddr.IPv6>

/** Whether an address, written as sockets write it, can be somebody else's machine on the internet. */
export function isPublicAddress(address: string): boolean {
  // Without the sockets' own check, ipaddr.js would also take 127.1 and 0x7f000001.
  switch (isIP(address)) {
    case 4:
      return isPublicIPv4(ipaddr.IPv4.parse(address))
    case 6:
      return isPublicIPv6(address)
    default:
      return false
  }
}

const isPublicIPv4 = (address: ipaddr.IPv4) =>
  address.range() === 'unicast' && address.toString() !== AZURE_WIRE_SERVER

function isPublicIPv6(text: string): boolean {
  // A zone says on which of our own links the address is.
  if (text.includes('%')) return false
  const address = ipaddr.IPv6.parse(withoutDots(text))
  if (address.isIPv4MappedAddress() || address.match(NAT64)) {
    return isPublicIPv4(new ipaddr.IPv4(address.toByteArray().slice(-4)))
  }
  return address.range() === 'unicast' && address.match(GLOBAL_UNICAST)
}

/** In hexadecimal alone: ipaddr.js reads ::8.8.8.8 as if it were ::ffff:8.8.8.8. */
const withoutDots = (address: string) => new URL(`http://[${address}]`).hostname.slice(1, -1)
