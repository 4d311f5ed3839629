import type { NewUser } from '../../accounts/users.ts'
import type { NewItem } from '../../domains/items/schemas.ts'
import type { NewPost } from '../../domains/posts/schemas.ts'

export interface Sample {
  user: NewUser
  items: NewItem[]
  posts: NewPost[]
}

/** Those whom the documentation and front-end teams sign in as. */
export const people: readonly Sample[] = [
  sample({ email: 'admin@example.com', password: 'admin123', role: 'admin' }, 'Grace Hopper', 'chair'),
  sample({ email: 'user1@example.com' }, 'Ada Lovelace', 'lamp'),
  sample({ email: 'user2@example.com' }, 'Alan Turing', 'table'),
  sample({ email: 'user3@example.com' }, 'Emmy Noether', 'kettle'),
  sample({ email: 'user4@example.com' }, 'Edsger Dijkstra', 'clock'),
  sample({ email: 'user5@example.com' }, 'Katherine Johnson', 'shelf'),
]

function sample(account: { email: string } & Partial<NewUser>, name: string, thing: string): Sample {
  const [first_name = '', last_name = ''] = name.split(' ')
  return {
    user: { password: 'password123', first_name, last_name, email_verified: true, ...account },
    items: [
      {
        title: `A plain ${thing}`,
        description: `A ${thing} without anything that a ${thing} does not need.`,
        status: 'published',
        price: '49.90',
        metadata: { color: 'white', tags: ['plain'] },
      },
      {
        title: `An oak ${thing}`,
        description: `A ${thing} of oak, oiled by hand.`,
        status: 'draft',
        price: '240.00',
        metadata: { color: 'brown', material: 'oak' },
      },
      { title: `An old ${thing}`, status: 'archived', price: '12.50' },
    ],
    posts: [
      {
        title: `On choosing a ${thing}`,
        content: `Take the ${thing} that you will still like in ten years.`,
      },
      {
        title: `How I mended a ${thing}`,
        content: `It took an afternoon, some glue and more patience than I have.`,
      },
    ],
  }
}
