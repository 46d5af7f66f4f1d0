#!/usr/bin/env node
// The only file that an old Node has to understand: it finds a Node that runs the sources as they stand, and hands over to it
// with the flag below, which no running process can set for itself.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const OLDEST_NODE = 24
/**
 * Megabytes for young objects. V8 takes 32 on a large machine and never gives them back after a burst of logins: 16 save a third of the memory of 10,000 idle
 * sessions and cost a message nothing that can be measured (docs/decisions/0002-young-generation.md).
 */
const YOUNG_GENERATION = '--max-semi-space-size=16'
const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

const pinnedNode = () => {
  try {
    return createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`)
  } catch {
    return undefined
  }
}

const handOver = (node) => {
  const child = spawn(node, [YOUNG_GENERATION, MAIN, ...process.argv.slice(2)], { stdio: 'inherit' })
  // A terminal sends SIGINT to both; a service manager may know only this process.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`waxwing: ${node} does not start: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
  })
}

/** The same process goes on with the flag, where the system can replace a process's program; else it goes on without. */
const goOn = () => {
  const hasFlag = process.execArgv.some((flag) => flag.startsWith('--max-semi-space-size'))
  if (hasFlag || process.execve === undefined || process.platform === 'win32') return import('./main.ts')
  const flags = [...process.execArgv, YOUNG_GENERATION]
  return process.execve(process.execPath, [process.execPath, ...flags, MAIN, ...process.argv.slice(2)], process.env)
}

if (Number.parseInt(process.versions.node, 10) >= OLDEST_NODE) await goOn()
else {
  const node = pinnedNode()
  if (node !== undefined) handOver(node)
  else {
    process.stderr.write(
      `waxwing needs Node ${OLDEST_NODE} or newer; this is ${process.versions.node}, and none came with the installation.\n` +
        'Do one of these:\n' +
        '  - run `npm install` again without --omit=optional or --no-optional: it brings a Node for Linux (x64, arm64) and macOS (x64);\n' +
        `  - install Node ${OLDEST_NODE} from https://nodejs.org or with your package manager, and put it first on the PATH.\n`,
    )
    process.exitCode = 1
  }
}
