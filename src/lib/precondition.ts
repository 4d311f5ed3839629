import { hash } from 'node:crypto'
import { plainTag } from './encoded-tag.ts'
import { sha256 } from './opaque.ts'
import { PreconditionFailed } from './problems.ts'

/** What a change may rest on: a resource that has versions. */
interface Versioned {
  id: string
  version: number
  /** What an answer shows besides, which changes without a new version. */
  embedded?: string | undefined
}

/** What a request supposes of a resource before it changes it (RFC 9110, section 13). */
export interface Precondition {
  /** The tags of If-Match; null if none was sent, or `*`: what is not there is 404 in any case. */
  readonly match: readonly string[] | null
  /** The tags of If-None-Match. */
  readonly noneMatch: readonly string[] | '*'
}

export const NO_PRECONDITION: Precondition = { match: null, noneMatch: [] }

const TAG = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/
const SPACE = '[ \\t]*'

/** `*` or a list of entity tags, whose elements may be missing: RFC 9110, sections 5.6.1, 8.8.3 and 13.1. */
export const TAGS_PATTERN = `^(?:\\*|(?:${SPACE},)*${SPACE}${TAG.source}(?:${SPACE},(?:${SPACE}${TAG.source})?)*${SPACE})$`

/** Of header values that fit the pattern. */
export function readPrecondition(ifMatch: string | undefined, ifNoneMatch: string | undefined): Precondition {
  return {
    match: ifMatch === undefined || ifMatch === '*' ? null : tagsIn(ifMatch),
    noneMatch: ifNoneMatch === '*' ? '*' : tagsIn(ifNoneMatch ?? ''),
  }
}

/** Between quotes, because a tag may hold a comma. */
const tagsIn = (value: string): string[] => value.match(new RegExp(TAG, 'g')) ?? []

/** A strong tag: the id too, so that the tag of another resource never fits. */
export const etagOf = ({ id, version, embedded }: Versioned): string =>
  embedded === undefined ? `"${id}-${version}"` : `"${id}-${version}-${digestOf(embedded)}"`

/** Enough to tell one state from the next. */
const DIGEST_LENGTH = 12

const digestOf = (text: string) => sha256(text).toString('base64url').slice(0, DIGEST_LENGTH)

/** As strong, for what has no version: of 2 KB it takes 1.4 µs, and no other hash that could do takes less. */
export const tagOfBytes = (bytes: string | Uint8Array): string =>
  `"${hash('sha256', bytes, 'base64url').slice(0, TAG_LENGTH)}"`

/** 132 bits of it. */
const TAG_LENGTH = 22

export const isVersioned = (value: unknown): value is Versioned => {
  const { id, version } = Object(value)
  return typeof id === 'string' && typeof version === 'number'
}

/**
 * Throws unless a resource that is to be changed, and is locked, has the version that the request supposes. What its tag
 * tells besides is not what is changed.
 */
export function demandVersion(precondition: Precondition, { id, version }: Versioned): void {
  const { only, except } = versionsFor(precondition, id)
  if (only?.includes(version) === false || except.includes(version)) throw preconditionFailed()
}

/** Whether If-Match lets what has this tag pass. It compares strongly: a weak tag may stand for more than one version. */
export const matches = ({ match }: Precondition, etag: string): boolean =>
  match?.some(tag => tag === etag || plainTag(tag) === etag) ?? true

/** Whether If-None-Match names this tag, and if so, as what. It compares weakly. */
export function namesTag({ noneMatch }: Pick<Precondition, 'noneMatch'>, etag: string): string | undefined {
  if (noneMatch === '*') return etag
  return noneMatch.map(strong).find(tag => tag === etag || plainTag(tag) === etag)
}

const strong = (tag: string): string => tag.replace(/^W\//, '')

export const preconditionFailed = () =>
  new PreconditionFailed('The resource has another version than the request supposes.')

/** The same as `demandVersion` for SQL: the versions that may be changed, null for any, and those that may not. */
export function versionsFor(
  { match, noneMatch }: Precondition,
  id: string,
): { only: number[] | null; except: number[] } {
  if (noneMatch === '*') return { only: [], except: [] }
  return {
    only: match === null ? null : versionsIn(match, id),
    except: versionsIn(noneMatch.map(strong), id),
  }
}

const versionsIn = (tags: readonly string[], id: string): number[] =>
  tags.flatMap(tag => {
    // A client may write an id in capitals in the URL; a tag is only ever copied.
    const own = tag.startsWith(`"${id.toLowerCase()}-`) ? tag.slice(id.length + 2, -1) : ''
    // What else it tells is not what is changed.
    const version = Number(/^([1-9]\d*)(-[\w-]+)?$/.exec(own)?.[1])
    // Greater ones are no `integer` of the database, which would refuse the statement.
    return version <= MAX_VERSION ? [version] : []
  })

const MAX_VERSION = 2 ** 31 - 1
