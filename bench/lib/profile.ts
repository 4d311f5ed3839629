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
 * Microseconds of each file or package, and of each function, without what they call. Native functions count for whoever
 * calls them.
 */
export function readProfile({ nodes, samples, timeDeltas }: Profile, root: string) {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id])))
  const files = new Map<string, number>()
  const functions = new Map<string, number>()
  samples.forEach((id, index) => {
    const micros = timeDeltas[index] ?? 0
    const frames = pathTo(id).map(node => node.callFrame)
    const inner = frames[0]
    const named = frames.find(({ url }) => url !== '') ?? inner
    if (inner === undefined || named === undefined || inner.functionName === WAITING) return
    add(files, named.url === '' ? named.functionName : placeOf(named.url, root), micros)
    const native = inner === named ? '' : ` > ${inner.functionName}`
    add(functions, `${nameOf(named, root)}${native}`, micros)
  })
  return { files, functions }

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
  return `${placeOf(url, root)}:${lineNumber + 1} ${functionName || '(anonymous)'}`
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
