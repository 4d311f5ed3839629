/** First come, first served, but who came last can be sent away. An array's own `shift` moves all that are left. */
export function createLine<Item>() {
  let items: Item[] = []
  let head = 0

  return {
    get length() {
      return items.length - head
    },
    push: (item: Item) => void items.push(item),
    first(): Item | undefined {
      const item = items[head]
      if (item === undefined) return undefined
      items[head++] = undefined as Item
      if (head === items.length || head === COMPACT_AT) {
        items = items.slice(head)
        head = 0
      }
      return item
    },
    last: (): Item | undefined => (items.length > head ? items.pop() : undefined),
  }
}

/** So many dead places are kept at most. */
const COMPACT_AT = 1024
