import { type Answer, type Connection, openConnection, requestText } from './connection.ts'

interface Hammer {
  port: number
  path: string
  token?: string | undefined
  /** How many requests, or until when, by `performance.now()`. */
  requests?: number
  until?: number
  connections: number
  from?: string
  each?: (answer: Answer, connection: Connection) => void | Promise<void>
}

/** Sends the same request again and again over so many connections, one at a time on each. Returns the seconds it took. */
export async function hammer(task: Hammer): Promise<number> {
  const { port, path, token, requests = Infinity, until = Infinity, connections, from, each } = task
  const text = requestText({ path, token })
  const begun = performance.now()
  let left = requests
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = openConnection(port, from === undefined ? {} : { from })
      while (left-- > 0 && performance.now() < until) {
        const answer = await connection.send(text)
        await each?.(answer, connection)
      }
      connection.close()
    }),
  )
  return (performance.now() - begun) / 1000
}
