import { test } from 'tap'
import { build, probe, recordingLogger } from '../helper.ts'

test('a request is one line with its id, operation, status and duration', async t => {
  const { logger, lines } = recordingLogger('info')
  const app = await build(t, { logger })
  await app.inject({
    url: '/health?token=planted',
    headers: { 'x-request-id': 'abc', authorization: 'Bearer planted' },
  })
  const requests = lines().filter(line => line.msg === 'request')
  t.equal(requests.length, 1)
  t.match(requests[0], {
    request_id: 'abc',
    operation_id: 'getHealth',
    method: 'GET',
    path: '/health',
    status: 200,
    ip: '127.0.0.1',
  })
  t.type(requests[0].duration_ms, 'number')
  t.notMatch(JSON.stringify(lines()), /planted/)
})

test('a refused request names its problem', async t => {
  const { logger, lines } = recordingLogger('info')
  const app = await build(t, { logger })
  await app.inject(`/${'x'.repeat(5000)}`)
  const [line] = lines().filter(line => line.msg === 'request')
  t.match(line, { status: 404, problem: 'not_found' })
  t.equal(line.path.length, 500, 'a long path is cut')
})

test('the address behind a trusted proxy is believed, and no other', async t => {
  const headers = { 'x-forwarded-for': '203.0.113.7' }
  const addressWith = async (variables: Record<string, string>, remoteAddress: string) => {
    const { logger, lines } = recordingLogger('info')
    const app = await build(t, { logger, variables })
    await app.inject({ url: '/health', headers, remoteAddress })
    return lines().find(line => line.msg === 'request').ip
  }
  t.equal(await addressWith({}, '10.0.0.1'), '10.0.0.1')
  t.equal(await addressWith({ TRUST_PROXY: '10.0.0.0/8' }, '10.0.0.1'), '203.0.113.7')
  t.equal(await addressWith({ TRUST_PROXY: '10.0.0.0/8' }, '192.0.2.1'), '192.0.2.1')
  t.equal(await addressWith({ TRUST_PROXY: '1' }, '192.0.2.1'), '203.0.113.7')
  headers['x-forwarded-for'] = '<script>'
  t.equal(await addressWith({ TRUST_PROXY: '1' }, '192.0.2.1'), '192.0.2.1')
})

test('what is logged by hand is redacted too', async t => {
  const { logger, text } = recordingLogger()
  const app = await build(t, {
    logger,
    routes: async app => {
      app.get('/careless', probe('careless'), async request => {
        request.log.info(
          {
            password: 'planted',
            headers: { authorization: 'planted', cookie: 'planted', 'x-api-key': 'planted' },
          },
          'careless',
        )
        return {}
      })
    },
  })
  await app.inject('/careless')
  t.match(text(), /careless/)
  t.notMatch(text(), /planted/)
})
