import type { FastifyReply } from 'fastify'

/** Adds to what an answer depends on besides its URL: other plugins tell what it depends on, too. */
export function addVary(reply: FastifyReply, ...names: string[]) {
  const told = [reply.getHeader('vary') ?? []].flat().join(', ')
  const known = told.toLowerCase().split(/\s*,\s*/)
  if (known.includes('*')) return
  const added = names.filter(name => !known.includes(name.toLowerCase()))
  reply.header('vary', [...(told === '' ? [] : [told]), ...added].join(', '))
}
