import http from 'node:http'
import https from 'node:https'
import type { LookupFunction, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Resolve } from './name-lookup.ts'
import { BROKEN_OFF, Failure } from './outbound-failure.ts'

/** What decides about connections. */
export interface Guard {
  mayConnect: (address: string) => boolean
  resolve: Resolve
}

/** The only way out: each connection of theirs has been judged. */
export interface GuardedAgents {
  /** Keeps connections for the next request, and uses what was kept. */
  kept: http.Agent
  /** Makes a connection for each request. */
  fresh: http.Agent
}

export class NotFound extends Failure {}

export const NOT_PUBLIC = 'The address is not public.'

const IDLE_MS = 30_000
const MOST_IDLE = 100
const MOST_IDLE_PER_HOST = 4

/** Node's quarter of a second gives up addresses that are only far away. */
const NEXT_ADDRESS_MS = 2_000

/** The addresses of a name. One that may not be is enough to refuse them all. */
export async function judgedAddresses(name: string, { mayConnect, resolve }: Guard) {
  const addresses = await lookUp(name, resolve)
  if (addresses.every(({ address }) => mayConnect(address))) return addresses
  throw new Failure('The name resolves to an address that is not public.')
}

async function lookUp(name: string, resolve: Resolve) {
  const addresses = await resolve(name).catch(() => [])
  if (addresses.length === 0) throw new NotFound('The name could not be looked up.')
  return addresses
}

export function guardedAgents(protocol: string, guard: Guard): GuardedAgents {
  const { Agent } = protocol === 'https:' ? https : http
  const options = {
    lookup: judgedLookup(guard),
    // So that the lookup is asked for all addresses, whatever Node was started with.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    // NODE_TLS_REJECT_UNAUTHORIZED is not for strangers.
    rejectUnauthorized: true,
  }
  const keeping = { keepAlive: true, timeout: IDLE_MS, maxFreeSockets: MOST_IDLE_PER_HOST }
  return {
    kept: boundIdle(guardConnections(new Agent({ ...options, ...keeping }), guard)),
    fresh: guardConnections(new Agent(options), guard),
  }
}

/** Hands the addresses that were judged to the connection, so that there is no second look-up to answer otherwise. */
const judgedLookup =
  (guard: Guard): LookupFunction =>
  (name, _options, done) => {
    judgedAddresses(name, guard).then(
      addresses => done(null, addresses),
      error => done(error, []),
    )
  }

/** Judges who is there in the end, however that came about. Node asks no lookup about what is an address already. */
function guardConnections(agent: http.Agent, { mayConnect }: Guard): http.Agent {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = options => {
    const socket = connect(options) as Socket
    // Before all other listeners, and so before the first byte is written.
    socket.prependOnceListener('connect', () => {
      const { remoteAddress } = socket
      if (remoteAddress === undefined) socket.destroy(new Failure(BROKEN_OFF))
      else if (!mayConnect(remoteAddress)) socket.destroy(new Failure(NOT_PUBLIC))
    })
    return socket
  }
  return agent
}

function boundIdle(agent: http.Agent): http.Agent {
  const keep = agent.keepSocketAlive.bind(agent)
  const reuse = agent.reuseSocket.bind(agent)
  agent.keepSocketAlive = socket => {
    if (Object.values(agent.freeSockets).flat().length >= MOST_IDLE) return false
    // Node would read and drop what is sent now, a gigabyte a second, for as long as it comes.
    socket.on('data', hangUp)
    return keep(socket)
  }
  agent.reuseSocket = (socket, request) => {
    socket.off('data', hangUp)
    reuse(socket, request)
  }
  return agent
}

function hangUp(this: Duplex) {
  this.destroy()
}

/** Ends the connections that nobody uses, and each of the others once its request is over. */
export function endIdle({ kept }: GuardedAgents) {
  kept.maxFreeSockets = 0
  for (const socket of Object.values(kept.freeSockets).flat()) socket?.destroy()
}
