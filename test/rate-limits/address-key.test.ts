import { test } from 'tap'
import { addressKey } from '../../src/rate-limits/address-key.ts'

test('an address stands for itself, or for the /64 that it is in', async t => {
  const expected = {
    '192.0.2.1': '192.0.2.1',
    '::ffff:192.0.2.1': '192.0.2.1',
    '::ffff:c000:201': '192.0.2.1',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
    '2001:DB8:0001:0002::': '2001:db8:1:2::/64',
    '2001:db8:1:3::1': '2001:db8:1:3::/64',
    '2001:db8::1': '2001:db8:0:0::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '::1': '0:0:0:0::/64',
    '': '',
  }
  for (const [address, key] of Object.entries(expected)) t.equal(addressKey(address), key, address)
})
