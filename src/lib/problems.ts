import { defineProblem, type Problem, type ProblemFault } from './problem.ts'

// The problems that any route may answer. A domain's own stand in its errors.ts.

export const ValidationFailed = defineProblem({
  code: 'validation_failed',
  status: 400,
  title: 'Validation failed',
  explanation: 'A part of the request does not have the shape that this operation documents.',
  remedy: 'Read `errors`: each entry names the part, a JSON pointer into it, and what it must be.',
})

const MOST_FAULTS = 50

/** A field may be at fault in more ways than one. */
export function faultyFields(faults: ProblemFault[]): Problem {
  const fields = new Set(faults.map(fault => `${fault.in} ${fault.pointer}`)).size
  const count = fields === 1 ? 'One field is' : `${fields} fields are`
  return new ValidationFailed(`${count} not valid.`, { errors: faults.slice(0, MOST_FAULTS) })
}

/** A fault that no schema can tell. */
export const fieldFault = (fault: ProblemFault): Problem => faultyFields([fault])

export const MalformedJson = defineProblem({
  code: 'malformed_json',
  status: 400,
  title: 'Malformed JSON',
  explanation: 'The body says it is JSON, but it cannot be read as JSON in UTF-8.',
  remedy:
    'Send one complete JSON value, encoded in UTF-8, without the keys `__proto__` and `constructor.prototype`.',
})

export const InvalidCursor = defineProblem({
  code: 'invalid_cursor',
  status: 400,
  title: 'Invalid cursor',
  explanation: 'The cursor is damaged, or belongs to another list.',
  remedy: 'Use `next_cursor` of the page before, unchanged, or begin again without a cursor.',
})

export const InvalidText = defineProblem({
  code: 'invalid_text',
  status: 400,
  title: 'Invalid text',
  explanation: 'The input contains a NUL character or half of a surrogate pair, which no text can hold.',
  remedy:
    'Remove the character. It is often the trace of a value that was cut in the middle or read as binary.',
})

export const MalformedRequest = defineProblem({
  code: 'malformed_request',
  status: 400,
  title: 'Malformed request',
  explanation: 'The bytes received are not a valid HTTP request, or the URL is not validly encoded.',
  remedy: 'Check the request line, the headers, the Content-Length and the percent-encoding of the URL.',
})

export const Unauthenticated = defineProblem({
  code: 'unauthenticated',
  status: 401,
  title: 'Authentication required',
  explanation: 'This operation needs a caller who has been recognised, and none was.',
  remedy:
    'Send a valid, unexpired access token as `Authorization: Bearer …`, or an API key where one may be used.',
})

export const Forbidden = defineProblem({
  code: 'forbidden',
  status: 403,
  title: 'Forbidden',
  explanation: 'The caller is known but may not do this.',
  remedy: 'Use an account that may; asking again will not help.',
})

export const InsufficientScope = defineProblem({
  code: 'insufficient_scope',
  status: 403,
  title: 'Insufficient scope',
  explanation: 'The API key is good, but not for this operation.',
  remedy: 'Use a key with the scope that the operation names, or add the scope to this one.',
})

export const EmailUnverified = defineProblem({
  code: 'email_unverified',
  status: 403,
  title: 'E-mail not verified',
  explanation: 'This service wants users to verify their e-mail before they do anything else.',
  remedy: 'Use the link in the mail that was sent, or ask for another one.',
})

export const NotFound = defineProblem({
  code: 'not_found',
  status: 404,
  title: 'Not found',
  explanation: 'There is nothing at this address that the caller may see.',
  remedy: 'Check the path and the id. Every path is listed in /openapi.json.',
})

export const MethodNotAllowed = defineProblem({
  code: 'method_not_allowed',
  status: 405,
  title: 'Method not allowed',
  explanation: 'The path exists, but not with this method.',
  remedy: 'Use one of the methods in the `Allow` header.',
})

export const RequestTimeout = defineProblem({
  code: 'request_timeout',
  status: 408,
  title: 'Request timeout',
  explanation: 'The request did not arrive completely within the time that the server waits for it.',
  remedy: 'Send it again over a steadier connection, or in smaller parts.',
})

export const Conflict = defineProblem({
  code: 'conflict',
  status: 409,
  title: 'Conflict',
  explanation: 'The change contradicts what is stored, for example a value that must be unique.',
  remedy: 'Read the present state and decide again.',
})

export const PreconditionFailed = defineProblem({
  code: 'precondition_failed',
  status: 412,
  title: 'Precondition failed',
  explanation: 'The resource is not, or no longer, what a conditional header of the request supposes.',
  remedy: 'Read it again, decide again, and send its present `ETag`.',
})

export const PayloadTooLarge = defineProblem({
  code: 'payload_too_large',
  status: 413,
  title: 'Payload too large',
  explanation: 'The body is larger than this operation accepts (1 MiB unless the operation says otherwise).',
  remedy: 'Send less at a time.',
})

export const UriTooLong = defineProblem({
  code: 'uri_too_long',
  status: 414,
  title: 'URI too long',
  explanation: 'The URL, or a part of its path, is longer than the server accepts.',
  remedy: 'Shorten it: it may have 16 384 characters, and a segment of its path 500.',
})

export const UnsupportedMediaType = defineProblem({
  code: 'unsupported_media_type',
  status: 415,
  title: 'Unsupported media type',
  explanation:
    'The body has a media type, a character set or a content encoding that this operation does not read.',
  remedy:
    'Send `Content-Type: application/json` in UTF-8, without `Content-Encoding`, unless the operation says otherwise.',
})

export const RangeNotSatisfiable = defineProblem({
  code: 'range_not_satisfiable',
  status: 416,
  title: 'Range not satisfiable',
  explanation: 'The `Range` header asks for bytes that the file does not have.',
  remedy: 'Ask for another range, or for the whole.',
})

export const ExpectationFailed = defineProblem({
  code: 'expectation_failed',
  status: 417,
  title: 'Expectation failed',
  explanation: 'The `Expect` header asks for something other than `100-continue`.',
  remedy: 'Leave the header out.',
})

export const PreconditionRequired = defineProblem({
  code: 'precondition_required',
  status: 428,
  title: 'Precondition required',
  explanation: 'This service takes changes only of a version that the caller names (REQUIRE_IF_MATCH).',
  remedy: 'Read the resource and send its `ETag` as `If-Match`, or `If-Match: *` if any version will do.',
})

export const RateLimited = defineProblem({
  code: 'rate_limited',
  status: 429,
  title: 'Too many requests',
  explanation: 'The caller has used up what its limit allows for now.',
  remedy: 'Wait for the seconds in `Retry-After`.',
})

export const HeadersTooLarge = defineProblem({
  code: 'headers_too_large',
  status: 431,
  title: 'Request header fields too large',
  explanation: 'The request line and headers together are larger than 128 KiB.',
  remedy: 'Send fewer or shorter headers; an overgrown Cookie header is the usual cause.',
})

export const Internal = defineProblem({
  code: 'internal',
  status: 500,
  title: 'Internal error',
  explanation: 'The service failed in a way that nobody foresaw. It has been logged with its cause.',
  remedy: 'Try again later, and report the `request_id` if it persists.',
})

export const Unavailable = defineProblem({
  code: 'unavailable',
  status: 503,
  title: 'Service unavailable',
  explanation: 'The database is away, or the service is overloaded, starting or shutting down.',
  remedy: 'Send the same request again after the seconds in `Retry-After`.',
})
