import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { atExit } from './limits.ts'
import { benchScript } from './service.ts'

// Stands before a port of loopback, in a process of its own, so that it is not late when a bench is busy.

type Order = { delayMs: number } | 'forget'

export async function startSlowProxy(targetPort: number) {
  const { PATH } = process.env
  const child = fork(benchScript('slow-proxy.ts'), [String(targetPort)], {
    env: { PATH },
    execArgv: ['--import', import.meta.resolve('tsx')],
  })
  atExit(() => child.kill('SIGKILL'))
  const [port] = (await once(child, 'message')) as [number]
  const send = (order: Order) => void child.send(order)
  return {
    port,
    /** All that comes back is late by so much. */
    delay: (delayMs: number) => send({ delayMs }),
    /** The connections that there are lose all that they carry, as behind a router that has forgotten them; new ones work. */
    forgetConnections: () => send('forget'),
    stop: () => child.kill('SIGKILL'),
  }
}

if (process.send !== undefined && process.argv[1]?.endsWith('slow-proxy.ts'))
  await serve(Number(process.argv[2]))

async function serve(targetPort: number) {
  const clients = new Set<Socket>()
  /** Through which nothing passes any more, and whose ends are never told. */
  const forgotten = new WeakSet<Socket>()
  let delayMs = 0

  const server = createServer(client => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    const waiting: Buffer[] = []
    clients.add(client)
    client.setNoDelay(true).on('data', chunk => {
      if (!forgotten.has(client)) upstream.write(chunk)
    })
    upstream.on('data', chunk => {
      waiting.push(chunk)
      if (delayMs === 0 && waiting.length === 1) pass()
      else setTimeout(pass, delayMs)
    })
    client
      .on('error', () => {})
      .on('close', () => {
        clients.delete(client)
        upstream.destroy()
      })
    upstream.on('error', () => {}).on('close', () => forgotten.has(client) || client.destroy())

    /** Always the oldest, whosever time it is: none overtakes another. */
    function pass() {
      const chunk = waiting.shift()
      if (chunk !== undefined && !forgotten.has(client)) client.write(chunk)
    }
  })
  process.on('message', (order: Order) => {
    if (order === 'forget') for (const client of clients) forgotten.add(client)
    else delayMs = order.delayMs
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send?.((server.address() as AddressInfo).port)
}
