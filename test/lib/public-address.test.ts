import fc from 'fast-check'
import { test } from 'tap'
import { isPublicAddress } from '../../src/lib/public-address.ts'

// Each range by its first and last address, and the neighbours that are outside.

const PUBLIC = `
  1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34
  100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17
  169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
  191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0
  198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
  2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2001:ffff::1 2003::1 2606:4700:4700::1111
  2606:4700:4700:0000:0000:0000:0000:1111 2A00:1450::1 3ffe::1 3fff:1000::1
  ::ffff:8.8.8.8 ::ffff:808:808 ::FFFF:8.8.8.8 0:0:0:0:0:ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::808:808
`

const NOT_PUBLIC = `
  0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
  127.0.0.0 127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255
  172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.9 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255
  192.31.196.1 192.52.193.1 192.88.99.0 192.88.99.255 192.168.0.0 192.168.255.255 192.175.48.1
  198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255
  224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255
  :: ::1 0:0:0:0:0:0:0:1 ::2 ::7f00:1 ::127.0.0.1 ::8.8.8.8 ::808:808 ::fffe:8.8.8.8 ::ffff:0:8.8.8.8
  ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:168.63.129.16 ::ffff:0.0.0.0
  64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::0.0.0.0 64:ff9b:0:0:0:1:808:808 64:ff9b:1::808:808 64:ff9b:2::1
  100::1 100:0:0:1::1 1000::1 1fff::1 4000::1 5f00::1 8000::1 fbff::1
  fc00::1 fd00:ec2::254 fd20:ce::254 fdff::1 fe00::1 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1 feff::1
  ff00:: ff02::1 ffff::1
  2001::1 2001:0:7f00:1::1 2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1 2001:2f::1
  2001:30::1 2001:1ff::1 2001:db8::1 2001:db8:ffff::1 2002:: 2002:7f00:1:: 2002:808:808:: 2002:ffff::1
  2620:4f:8000::1 3fff::1 3fff:fff::1
  fe80::1%eth0 fe80::1%1 fe80::1%eth-0.1 ::1%lo 2606:4700:4700::1111%eth0
  127.1 127.0.1 2130706433 134744072 0x7f000001 0x8.8.8.8 0177.0.0.1 08.8.8.8 8.8.8.8. 8.8.8 8.8.8.8.8 8.8.8.256
  8.8.8.8/8 8.8.8.8:80 [2606::1] 2606::1::1 2606:1 1:2:3:4:5:6:7:8:9 ::ffff:8.8.8.256 ::ffff:010.8.8.8
  localhost example.com a.b.c.d ８.8.8.8
`

const words = (text: string) => text.trim().split(/\s+/)

test('what is public', t => {
  for (const address of words(PUBLIC)) t.equal(isPublicAddress(address), true, address)
  t.end()
})

test('what is not, and what is no address', t => {
  const others = ['', ' ', ' 8.8.8.8', '8.8.8.8 ', '8.8.8.8\n', '8.8.8.8\0', '\t::1', '%', '%eth0', '[::1]']
  for (const address of [...words(NOT_PUBLIC), ...others]) {
    t.equal(isPublicAddress(address), false, JSON.stringify(address))
  }
  t.end()
})

const octet = fc.nat(255)
const group = (high: number, low: number) => (high * 256 + low).toString(16)

const NETS = fc.oneof(
  fc.tuple(fc.constantFrom(10, 127, 0), octet, octet, octet),
  fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
  fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
  fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
  fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), octet, octet),
  fc.tuple(fc.integer({ min: 224, max: 255 }), octet, octet, octet),
)

test('no address of a private net is public in any of its forms', t => {
  fc.assert(
    fc.property(NETS, ([a, b, c, d]) => {
      const dotted = `${a}.${b}.${c}.${d}`
      const grouped = `${group(a, b)}:${group(c, d)}`
      const forms = [dotted, grouped].flatMap(form => [`::${form}`, `::ffff:${form}`, `64:ff9b::${form}`])
      return ![dotted, ...forms, `2002:${grouped}::1`].some(isPublicAddress)
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

test('an IPv4 address is the same mapped and behind NAT64', t => {
  fc.assert(
    fc.property(fc.tuple(octet, octet, octet, octet), ([a, b, c, d]) => {
      const expected = isPublicAddress(`${a}.${b}.${c}.${d}`)
      const grouped = `${group(a, b)}:${group(c, d)}`
      return [`::ffff:${grouped}`, `64:ff9b::${grouped}`].every(form => isPublicAddress(form) === expected)
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

test('whatever text comes, there is an answer', t => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => isPublicAddress(text) === false))
  fc.assert(fc.property(fc.ipV6(), text => typeof isPublicAddress(text) === 'boolean'))
  t.end()
})
