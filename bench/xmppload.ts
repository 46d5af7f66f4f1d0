import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { adopt } from './processes.ts'

/** What the generator counted and measured, by the names it prints. */
export type Figures = Readonly<Record<string, number>>

export type LoadRun = { readonly figures: Figures; readonly problems: readonly string[] }

const SOURCE = join(import.meta.dirname, '../../shared/tools/xmppload')

/** How to get the load generator, for those who have none. */
export const HOW_TO_GET =
  'xmppload is not here: set WAXWING_XMPPLOAD to its path, or put its source (xmppload.c, Makefile) into ' +
  '../shared/tools/xmppload beside this project (needs gcc, make, libssl-dev). The simpler built-in client is used instead.'

/** The path of the load generator: the one named in the environment (`none`: do without), or one built from the source beside the project. */
export function findXmppload(): string | undefined {
  const named = process.env.WAXWING_XMPPLOAD
  if (named === 'none') return undefined
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`WAXWING_XMPPLOAD names ${named}, which is not there`)
    return named
  }
  if (!existsSync(join(SOURCE, 'xmppload.c'))) return undefined
  const built = join(tmpdir(), `waxwing-xmppload-${userInfo().uid}`)
  const binary = join(built, 'xmppload')
  if (existsSync(binary) && statSync(binary).mtimeMs > statSync(join(SOURCE, 'xmppload.c')).mtimeMs) return binary
  try {
    mkdirSync(built, { recursive: true })
    for (const file of readdirSync(SOURCE)) {
      if (file.endsWith('.c') || file === 'Makefile') copyFileSync(join(SOURCE, file), join(built, file))
    }
    execFileSync('make', ['-s', '-C', built, 'xmppload'], { stdio: ['ignore', 'ignore', 'inherit'] })
    return binary
  } catch (error) {
    process.stderr.write(`xmppload does not build here: ${String(error)}\n`)
    return undefined
  }
}

/** Runs the load generator once and reads the line of JSON it ends with; `onLine` hears what it prints on the way. */
export async function runXmppload(
  binary: string,
  flags: Readonly<Record<string, string | number | true>>,
  onLine: (line: string) => void = () => undefined,
): Promise<LoadRun> {
  const args = Object.entries(flags).flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, `${value}`]))
  const child = spawn(binary, [...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  adopt(child)
  let json: string | undefined
  let errors = ''
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('{"mode"')) json = line
    else onLine(line)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  await once(child, 'close')
  if (json === undefined) throw new Error(`xmppload ${args.join(' ')} gave no figures:\n${errors}`)
  const problems = errors.split('\n').filter((line) => line !== '' && !line.includes('for the descriptor limit'))
  return { figures: JSON.parse(json) as Figures, problems: child.exitCode === 0 ? [] : problems }
}
