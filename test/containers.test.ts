import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { commands } from '../src/cli.ts'
import { Environment } from '../src/lib/environment.ts'
import { packageRoot } from '../src/lib/package.ts'

// No container engine is needed for this; with one, .ci/run starts the whole thing.

const read = (name: string) => readFileSync(join(packageRoot, name), 'utf8')

interface Service {
  image: string
  environment?: Record<string, unknown>
  command?: string[]
  healthcheck?: object
  deploy?: { replicas: number }
}

const { services } = parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> }

test('compose.yaml has every part, each with a health check', t => {
  t.strictSame(Object.keys(services).sort(), ['api', 'mail', 'migrate', 'postgres', 'redis', 'worker'])
  t.equal(services.api?.deploy?.replicas, 2)
  for (const [name, service] of Object.entries(services)) {
    // The image brings the check of the API itself.
    t.ok(name === 'api' || service.healthcheck, name)
    t.notMatch(service.image, /:latest$|^[^:]+$/, `${service.image} is an exact tag`)
  }
  t.end()
})

test('compose.yaml sets only variables that exist, and runs only what exists', t => {
  for (const { image, environment = {}, command = [] } of Object.values(services)) {
    if (image !== services.api?.image) continue
    for (const name of Object.keys(environment)) t.ok(name in Environment.properties, name)
    if (command[0] === 'plinth') t.ok(String(command[1]) in commands)
  }
  t.end()
})

test('the image is small, unprivileged, and stops on request', t => {
  const dockerfile = read('Dockerfile')
  for (const line of [
    /^FROM node:\d+\.\d+\.\d+-\S+ AS base$/m,
    /^RUN npm prune --omit=dev/m,
    /^USER 1000$/m,
    /^STOPSIGNAL SIGTERM$/m,
    /^HEALTHCHECK /m,
    /^ENV NODE_ENV=production/m,
  ]) {
    t.match(dockerfile, line)
  }
  t.end()
})
