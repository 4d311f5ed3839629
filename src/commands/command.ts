/** Runs with the words after the command's name, and answers with the exit code. */
export type Command = (args: string[]) => Promise<number>
