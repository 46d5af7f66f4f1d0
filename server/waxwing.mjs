#!/usr/bin/env node
// The only file that an old Node has to understand: it finds a Node that runs the sources as they stand, and hands over to it.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const OLDEST_NODE = 24

const pinnedNode = () => {
  try {
    return createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`)
  } catch {
    return undefined
  }
}

const handOver = (node) => {
  const child = spawn(node, [fileURLToPath(new URL('main.ts', import.meta.url)), ...process.argv.slice(2)], { stdio: 'inherit' })
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

if (Number.parseInt(process.versions.node, 10) >= OLDEST_NODE) await import('./main.ts')
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
