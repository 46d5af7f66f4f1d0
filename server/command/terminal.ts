import { createInterface } from 'node:readline/promises'
import { type Readable, Writable } from 'node:stream'
import type { LogDestination } from '#server/base/log.ts'

/** Where a command reads and writes; tests put their own in its place. */
export interface Terminal {
  readonly input: Readable & { readonly isTTY?: boolean }
  /** Writes a line of the command's result. */
  out(line: string): void
  /** Writes a line for the person who watches. */
  err(line: string): void
  /** Where the log of a server goes. */
  readonly log: LogDestination
  /** Sets the exit code of the process. */
  exitWith(code: number): void
}

/** Something that stops a command, said in words for the operator; a stack would not help. */
export class CommandError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.name = 'CommandError'
    this.exitCode = exitCode
  }
}

/** The terminal of this process. */
export const processTerminal: Terminal = {
  input: process.stdin,
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  log: process.stderr,
  exitWith(code) {
    process.exitCode = code
  },
}

/** A secret is one line; more is a mistake such as a whole file. */
const MAX_SECRET_CHARS = 4096

/** Everything on standard input, without the newline at its end. */
export const readSecret = async (terminal: Terminal): Promise<string> => {
  let text = ''
  for await (const chunk of terminal.input) {
    text += String(chunk)
    if (text.length > MAX_SECRET_CHARS) throw new CommandError('Standard input is longer than a password can be.')
  }
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '') throw new CommandError('Standard input is empty; a password was expected there.')
  if (/[\r\n]/.test(secret)) throw new CommandError('Standard input has several lines; one password was expected there.')
  return secret
}

/** Asks twice for a new password without showing it. */
export const askPassword = async (terminal: Terminal, jid: string): Promise<string> => {
  if (terminal.input.isTTY !== true)
    throw new CommandError('There is no terminal to ask for a password. Pipe it in, with --password-stdin.')
  const first = await askHidden(terminal, `Password for ${jid}: `)
  if (first === '') throw new CommandError('The password is empty.')
  if ((await askHidden(terminal, 'Once more: ')) !== first) throw new CommandError('The two passwords differ.')
  return first
}

const askHidden = async (terminal: Terminal, question: string): Promise<string> => {
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: terminal.input, output: hidden, terminal: true })
  process.stderr.write(question)
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}
