/** As V8 makes it. */
export interface Profile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
  children?: number[]
}

/** Not at work: waiting for requests. */
const WAITING = '(idle)'

/**
 * Microseconds of each file or package without what it calls, and of each function with what it calls. Native functions count for whoever calls them.
 */
export function readProfile({ nodes, samples, timeDeltas }: Profile, root: string) {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])))
  const own = new Map<string, number>()
  const whole = new Map<string, number>()
  samples.forEach((id, index) => {
    const micros = timeDeltas[index] ?? 0
    const frames = pathTo(id).map(node => node.callFrame)
    if (frames[0]?.functionName === WAITING) return
    const named = frames.find(({ url }) => url !== '') ?? frames[0]
    add(own, named === undefined ? '?' : placeOf(named.url || named.functionName, root), micros)
    for (const name of new Set(frames.map(frame => nameOf(frame, root)))) add(whole, name, micros)
  })
  return { own, whole }

  /** From the inside out. */
  function pathTo(id: number): ProfileNode[] {
    const path: ProfileNode[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = byId.get(at)
      if (node !== undefined) path.push(node)
    }
    return path
  }
}

function nameOf({ functionName, url, lineNumber }: ProfileNode['callFrame'], root: string): string {
  return `${functionName || '(anonymous)'} ${placeOf(url, root)}:${lineNumber + 1}`
}

function placeOf(url: string, root: string): string {
  const path = url.replace(/^file:\/\//, '').replace(root, '')
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)(.*)/.exec(path)
  if (inPackage === null) return path
  return inPackage[1] === 'fastify' ? `fastify${inPackage[2]}` : (inPackage[1] ?? path)
}

function add(totals: Map<string, number>, name: string, micros: number) {
  totals.set(name, (totals.get(name) ?? 0) + micros)
}
