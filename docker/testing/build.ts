import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { makeRoot, runInRoot } from './container.ts'
import { type Instruction, readDockerfile, readDockerignore } from './dockerfile.ts'

/** Where the packages of the first stage come from: npm, as the image gets them, or the project's own copy of the same versions. */
export type PackageSource = 'npm' | 'project'

/** Does what the Dockerfile says and gives the root folder of its last stage. */
export const build = async (context: string, folder: string, packages: PackageSource): Promise<string> => {
  const stages = readDockerfile(readFileSync(join(context, 'docker/Dockerfile'), 'utf8'))
  const staysBehind = readDockerignore(readFileSync(join(context, '.dockerignore'), 'utf8'))
  const rootOf = (name: string): string => join(folder, name)
  let root = ''
  for (const [index, { name, instructions }] of stages.entries()) {
    root = rootOf(name ?? String(index))
    makeRoot(root)
    let workdir = '/'
    for (const instruction of instructions)
      if (instruction.keyword === 'WORKDIR') {
        workdir = instruction.words[0] ?? ''
        mkdirSync(join(root, workdir), { recursive: true })
      } else if (instruction.keyword === 'COPY') copy(instruction, context, rootOf, join(root, workdir), root, staysBehind)
      else if (instruction.keyword === 'RUN') {
        const [command = ''] = instruction.words
        // The first stage needs npm and a way to its registry: this machine's, in the stage's folder.
        if (index === stages.length - 1) await runInRoot(root, command)
        else await runHere(command, join(root, workdir), context, packages)
      }
  }
  return root
}

const copy = (
  { flags, words }: Instruction,
  context: string,
  rootOf: (name: string) => string,
  workdir: string,
  root: string,
  staysBehind: (path: string) => boolean,
): void => {
  const target = words.at(-1) ?? ''
  const destination = target.startsWith('/') ? join(root, target) : join(workdir, target)
  const origin = flags.from === undefined ? context : rootOf(flags.from)
  const isLeft = (path: string): boolean => flags.from === undefined && staysBehind(relative(context, path))
  for (const word of words.slice(0, -1)) {
    const source = join(origin, word)
    if (isLeft(source)) throw new Error(`${word} is not in the context`)
    const isInto = target.endsWith('/') && !statSync(source).isDirectory()
    mkdirSync(dirname(destination), { recursive: true })
    cpSync(source, isInto ? join(destination, basename(word)) : destination, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !isLeft(path),
    })
  }
}

const runHere = async (command: string, cwd: string, context: string, packages: PackageSource): Promise<void> => {
  if (packages === 'project' && command.startsWith('npm install ')) copyPackages(context, cwd)
  else await promisify(execFile)('sh', ['-ec', command], { cwd })
}

/** What the lock file names and nobody needs for development only. */
const copyPackages = (from: string, to: string): void => {
  const lock = JSON.parse(readFileSync(join(from, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
  }
  for (const [path, { dev }] of Object.entries(lock.packages))
    if (path !== '' && dev !== true && existsSync(join(from, path)))
      cpSync(join(from, path), join(to, path), { recursive: true, verbatimSymlinks: true })
}
