import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { clientAddress } from './client-address.ts'
import { pathOf } from './problems.ts'

const LONGEST_PATH = 500

/** One line per request, when it is answered. No query, header or body, which could bring a secret along. */
export class RequestLog extends LogController {
  constructor() {
    super({ requestIdLogLabel: 'request_id' })
  }

  /** A socket that was asked once remembers who it was, when it is closed: then nobody could tell any more. */
  override incomingRequest({ socket }: FastifyRequest) {
    void socket.remoteAddress
  }

  /** A stream that is broken off never completes: most live streams end so, because the client goes away. */
  override streamError(
    error: Error & { code?: string },
    request: FastifyRequest,
    reply: FastifyReply,
    metadata?: Record<string, unknown>,
  ) {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') super.streamError(error, request, reply, metadata)
    this.requestCompleted(error, request, reply)
  }

  override requestCompleted(_error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply) {
    request.log.info(
      {
        operation_id: request.routeOptions.schema?.operationId,
        method: request.method,
        path: pathOf(request.url).slice(0, LONGEST_PATH),
        status: reply.statusCode,
        problem: reply.problem_code ?? undefined,
        user_id: request.user?.id,
        ip: clientAddress(request),
        duration_ms: Math.round(reply.elapsedTime * 100) / 100,
      },
      'request',
    )
  }
}
