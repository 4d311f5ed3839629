import type { Transform } from 'node:stream'
import { promisify } from 'node:util'
import {
  brotliCompress,
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  gzip,
  gzipSync,
} from 'node:zlib'
import type { Encoding } from './encoded-tag.ts'

// Of pages, posts and openapi.json (bench/compression.ts). A page of 20 items, 8.6 kB: Brotli 1 makes 35.1 % of it in 30 µs,
// 2 33.2 % in 45, 4 31.3 % in 107, 5 29.6 % in 148; gzip 1 33.9 % in 37 µs, 6 31.9 % in 52, 9 31.8 % in 58. A page of 100,
// 43 kB: Brotli 1 29.7 % in 114 µs, 4 26.4 % in 488, 5 25.2 % in 790; gzip 6 26.7 % in 576. On a line of 10 Mbit/s, what 4
// saves over 1 takes three times as long as it took to compute; 5 costs half as much again for a twentieth.
const BROTLI_QUALITY = 4
const GZIP_LEVEL = 6

/** 256 KiB instead of 4 MiB: 150 slow readers of streams held 790 MB. */
const STREAM_WINDOW = 18

/** For what is compressed once and sent often. */
const BEST_BROTLI = 11
const BEST_GZIP = 9

const brotliAsync = promisify(brotliCompress)
const gzipAsync = promisify<Buffer, { level: number }, Buffer>(gzip)

/** While everybody waits. */
export const compressNow = (bytes: Buffer, encoding: Encoding): Buffer =>
  encoding === 'br' ? brotliCompressSync(bytes, brotli(bytes)) : gzipSync(bytes, { level: GZIP_LEVEL })

/** Aside, on a thread of the pool. */
export const compressAside = (bytes: Buffer, encoding: Encoding): Promise<Buffer> =>
  encoding === 'br' ? brotliAsync(bytes, brotli(bytes)) : gzipAsync(bytes, { level: GZIP_LEVEL })

/** Aside, as small as can be. */
export const compressBest = (bytes: Buffer, encoding: Encoding): Promise<Buffer> =>
  encoding === 'br' ? brotliAsync(bytes, brotli(bytes, BEST_BROTLI)) : gzipAsync(bytes, { level: BEST_GZIP })

export const compressing = (encoding: Encoding): Transform =>
  encoding === 'br'
    ? createBrotliCompress({
        params: {
          [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
          [constants.BROTLI_PARAM_LGWIN]: STREAM_WINDOW,
        },
      })
    : createGzip({ level: GZIP_LEVEL })

const brotli = ({ length }: Buffer, quality = BROTLI_QUALITY) => ({
  params: {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_SIZE_HINT]: length,
  },
})
