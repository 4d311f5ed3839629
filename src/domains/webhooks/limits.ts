/** More than anybody has systems to tell, and few enough to look through. */
export const MOST_WEBHOOKS = 20

/** What one request may put on its way again: one statement of about a second. */
export const MOST_REPLAYED = 10_000

/** As long as the guard of what is posted lets a URL be. */
export const MAX_URL_LENGTH = 2_048

/** How much of an answer is kept. */
export const EXCERPT_BYTES = 1_024

/** How long messages are signed with the old secret, too, after a rotation. */
export const OVERLAP_HOURS = 24

/** How long what came of deliveries can be looked up. */
export const DELIVERIES_KEPT_DAYS = 30
