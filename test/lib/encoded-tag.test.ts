import { test } from 'tap'
import { encodedTag, plainTag } from '../../src/lib/encoded-tag.ts'

test('each encoding of the same has a strong tag of its own, which tells whose it is', async t => {
  for (const tag of ['"a-1"', '"a-1-x_Y-z"', '""']) {
    const tags = [encodedTag(tag, 'br'), encodedTag(tag, 'gzip')]
    t.equal(new Set([tag, ...tags]).size, 3)
    for (const each of [tag, ...tags]) t.equal(plainTag(each), tag, each)
  }
  t.equal(encodedTag('"a-1"', 'br'), '"a-1-br"')
  t.equal(encodedTag('"a-1"', 'gzip'), '"a-1-gzip"')
})

test('the tag of what a proxy has compressed is known, too', async t => {
  for (const suffix of ['gz', 'deflate', 'zstd']) t.equal(plainTag(`"a-1-${suffix}"`), '"a-1"')
  t.equal(plainTag('"x-brr"'), '"x-brr"')
})

test('a weak tag stands for all of them, and what is no tag is left alone', async t => {
  for (const tag of ['W/"a-1"', 'a-1', '"', '']) {
    t.equal(encodedTag(tag, 'br'), tag)
    t.equal(plainTag(tag), tag)
  }
  t.equal(plainTag('W/"a-1-br"'), 'W/"a-1"', 'a proxy made it weak')
})
