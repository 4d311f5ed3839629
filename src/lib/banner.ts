import { packageVersion } from './package.ts'

/** What a person who has just started the service wants to know. Machines read the log. */
export function banner(
  output: { isTTY?: boolean; write(text: string): unknown },
  address: string,
  data: string,
) {
  if (!output.isTTY) return
  output.write(`
  Plinth ${packageVersion} is ready

    API    ${address}
    Docs   ${address}/docs
    Data   ${data}
    Admin  npm run cli -- create-admin EMAIL

`)
}
