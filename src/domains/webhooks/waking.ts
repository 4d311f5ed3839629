/**
 * Whoever adds something to be sent sets the time of the webhook back in the same transaction, and nobody but the one who
 * sends ever sets it forward: so what was added meanwhile is not forgotten. `greatest` and `least` overlook nulls.
 */
export const WOKEN = 'due_at = least(due_at, greatest(now(), paused_until))'

/** The same at the owner's wish, which counts more than a receiver's for silence. */
export const WOKEN_AT_ONCE = 'due_at = now(), paused_until = null'
