import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { until } from './until.ts'

/** A process of a test's own. */
export interface Child {
  readonly lines: readonly string[]
  says(line: string): Promise<void>
  hears(line: string): void
  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
  ends(): Promise<void>
}

/** Starts a program of this folder's parent. */
export const startChild = (program: string, ...args: readonly string[]): Child => {
  const running: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, '..', program), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  process.once('exit', () => running.kill('SIGKILL'))
  const gone = new Promise<void>((resolve) => running.once('exit', () => resolve()))
  const lines: string[] = []
  let rest = ''
  running.stdout?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
  return {
    lines,
    says: (line) => until(() => lines.includes(line), line),
    hears: (line) => void running.stdin?.write(`${line}\n`),
    signal: (name) => void running.kill(name),
    async ends() {
      running.kill('SIGKILL')
      await gone
    },
  }
}
