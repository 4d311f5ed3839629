/** `make`, called once for each key; what it made goes when the key does. */
export function memoized<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new WeakMap<Key, { value: Value }>()
  return key => {
    const existing = made.get(key)
    if (existing !== undefined) return existing.value
    const value = make(key)
    made.set(key, { value })
    return value
  }
}
