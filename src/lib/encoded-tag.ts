/** How a body can be made smaller on its way. */
export type Encoding = 'br' | 'gzip'

/** As we write it, and as proxies do that compress what we did not. */
const ENCODED = /-(?:br|gz|gzip|deflate|zstd)"$/

/** The tag of these bytes when they are encoded: a strong tag names one sequence of bytes, a weak one any of its forms. */
export const encodedTag = (tag: string, encoding: Encoding): string =>
  isStrong(tag) ? `${tag.slice(0, -1)}-${encoding}"` : tag

/** The tag as it was before its answer was encoded. */
export const plainTag = (tag: string): string => tag.replace(ENCODED, '"')

const isStrong = (tag: string) => tag.startsWith('"') && tag.length > 1 && tag.endsWith('"')
