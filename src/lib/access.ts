/** Who may call a route. It stands in the route's `config`, next to its schema, and is the only place that decides. */
export type Access = 'public'
