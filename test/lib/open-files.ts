import { readdirSync, readlinkSync } from 'node:fs'

const OWN = '/proc/self/fd'

/** The open files of this process with this in their path, also those without a name, by a path that leads to them. */
export function filesOpenAs(part: string): string[] {
  return readdirSync(OWN)
    .map(number => `${OWN}/${number}`)
    .filter(path => target(path).includes(part))
}

function target(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // The one that reads the directory is closed by now.
    return ''
  }
}
