import postgres from 'postgres'

/** The server on which benches make databases of their own. */
export const serverUrl = process.env.BENCH_DATABASE_URL ?? 'postgres://root@127.0.0.1:5432/postgres'

/** Makes an empty database, and drops it when `work` is done. */
export async function withDatabase<T>(work: (url: string) => Promise<T>): Promise<T> {
  const name = `plinth_bench_${process.pid}`
  const server = postgres(serverUrl, { max: 1, onnotice: () => {} })
  try {
    await server`drop database if exists ${server(name)} with (force)`
    await server`create database ${server(name)}`
    const url = new URL(serverUrl)
    url.pathname = name
    return await work(url.href)
  } finally {
    await server`drop database if exists ${server(name)} with (force)`
    await server.end({ timeout: 2 })
  }
}

/** Whether a new connection gets an answer. */
export async function accepts(url: string): Promise<boolean> {
  const client = postgres(url, { max: 1, connect_timeout: 1, fetch_types: false, onnotice: () => {} })
  try {
    await client`select 1`
    return true
  } catch {
    return false
  } finally {
    await client.end({ timeout: 0 })
  }
}
