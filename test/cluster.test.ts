import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { type Test, test } from 'tap'
import { createServerDatabase, serverUrl } from './database.ts'
import { parseMetrics } from './metrics-text.ts'
import { run, startServer, temporaryDirectory } from './processes.ts'

test('one process is its own supervisor', async t => {
  const server = await startServer(t, { DATA_DIR: temporaryDirectory(t) }, 'src/cluster.ts')
  t.equal((await fetch(`${server.url}/health`)).status, 200)
  server.child.kill('SIGTERM')
  t.equal((await server.exit).code, 0)
})

test('several processes on the embedded database are a configuration error', async t => {
  const server = run(t, 'src/cluster.ts', { WEB_CONCURRENCY: '2', DATA_DIR: temporaryDirectory(t) })
  t.equal((await server.exit).code, 78)
  t.match(server.output(), /WEB_CONCURRENCY above 1 needs DATABASE_URL/)
})

if (serverUrl !== undefined) {
  const start = async (t: Test, variables = {}) => {
    const DATABASE_URL = await createServerDatabase(t)
    const server = run(t, 'src/cluster.ts', {
      DATABASE_URL,
      DATA_DIR: temporaryDirectory(t),
      PORT: '0',
      WEB_CONCURRENCY: '2',
      SHUTDOWN_DELAY_SECONDS: '0',
      ...variables,
    })
    const { port } = await server.logged('ready')
    const pids = () =>
      new Set([...server.output().matchAll(/"pid":(\d+),.*"msg":"ready"/g)].map(([, pid]) => Number(pid)))
    /** Resolves when so many different processes have become ready. */
    const ready = async (count: number) => {
      while (pids().size < count) await once(server.child.stdout ?? server.child, 'data')
      return [...pids()]
    }
    return { ...server, port: Number(port), ready }
  }

  test('a killed process is replaced', async t => {
    const server = await start(t)
    const [victim = 0] = await server.ready(2)
    process.kill(victim, 'SIGKILL')
    t.equal((await server.ready(3)).length, 3)
    t.match(await server.logged('a web process died'), { worker_pid: victim, signal: 'SIGKILL', delay_ms: 0 })
    t.equal((await fetch(`http://127.0.0.1:${server.port}/health`)).status, 200)
    server.child.kill('SIGTERM')
    t.equal((await server.exit).code, 0)
  })

  test('a signal to the whole group ends everything in order', async t => {
    const server = await start(t, { SHUTDOWN_DELAY_SECONDS: '0.3' })
    for (const pid of await server.ready(2)) process.kill(pid, 'SIGTERM')
    server.child.kill('SIGTERM')
    t.strictSame(await server.exit, { code: 0, signal: null })
    t.notMatch(server.output(), 'told twice')
    t.equal(server.output().match(/"msg":"stopped"/g)?.length, 3)
  })

  test('one scrape tells of every process, also while one of them hangs', async t => {
    const server = await start(t)
    await server.ready(2)
    const scrape = async () => {
      const families = parseMetrics(await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text())
      const values = (name: string) =>
        Object.fromEntries(families.get(name)?.samples.map(each => [each.labels.process, each.value]) ?? [])
      return { answered: values('plinth_process_answered'), memory: values('process_resident_memory_bytes') }
    }
    const both = await scrape()
    t.strictSame(both.answered, { 1: 1, 2: 1 })
    t.strictSame(Object.keys(both.memory), ['1', '2'])
    t.not(both.memory[1], both.memory[2])
    const many = await Promise.all(Array.from({ length: 5 }, scrape))
    for (const each of many) t.strictSame(each.answered, both.answered)

    const [victim = 0] = await server.ready(2)
    process.kill(victim, 'SIGSTOP')
    // The one that is stopped answers no connection that it is given, so the others have to be tried.
    const { answered, memory } = await firstOf(() => scrape(), 8)
    t.strictSame(Object.values(answered).sort(), [0, 1])
    t.equal(Object.keys(memory).length, 1)
    process.kill(victim, 'SIGKILL')
    await server.ready(3)
    const after = await scrape()
    t.strictSame(Object.values(after.answered), [1, 1])
    t.ok(after.answered[3], 'the one in its place is told')
    server.child.kill('SIGTERM')
    t.equal((await server.exit).code, 0)
  })

  /** The first that succeeds of so many at once. */
  const firstOf = <T>(attempt: () => Promise<T>, count: number) =>
    Promise.any(Array.from({ length: count }, attempt))

  test('a rolling restart under load loses no request', async t => {
    const server = await start(t)
    await server.ready(2)
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    t.teardown(() => agent.destroy())
    let going = true
    const statuses: (number | string | undefined)[] = []
    const client = async () => {
      while (going) {
        try {
          const request = get({ port: server.port, path: '/health', agent })
          const [response] = (await once(request, 'response')) as [IncomingMessage]
          response.resume()
          await once(response, 'end')
          statuses.push(response.statusCode)
        } catch (error) {
          statuses.push((error as NodeJS.ErrnoException).code)
        }
      }
    }
    const clients = Array.from({ length: 8 }, client)
    server.child.kill('SIGHUP')
    await server.logged('replaced')
    going = false
    await Promise.all(clients)
    t.equal((await server.ready(4)).length, 4)
    t.ok(statuses.length > 100, `${statuses.length} requests`)
    t.strictSame([...new Set(statuses)], [200])
    server.child.kill('SIGTERM')
    t.equal((await server.exit).code, 0)
  })
}
