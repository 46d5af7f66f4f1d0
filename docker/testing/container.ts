import { type ChildProcessByStdio, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'

/**
 * What a container engine does for one container, done with the system's own means: a root folder of its own with this machine's /usr in place of the base image's,
 * namespaces for mounts, processes and network, a user without any right. It needs Linux and root.
 */

/** Whether this machine and this user can do so. */
export const canContain = (): boolean => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('unshare', ['--mount', '--net', '--pid', '--fork', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const BORROWED = ['bin', 'sbin', 'lib', 'lib64']
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Makes a root folder as of a base image, with nothing in it yet but what every system has. */
export const makeRoot = (root: string): void => {
  for (const folder of ['dev', 'proc', 'tmp', 'etc', 'var/lib', 'usr/local/bin', ...BORROWED.map((each) => `usr/${each}`)])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o755 })
  for (const folder of BORROWED) symlinkSync(`usr/${folder}`, join(root, folder))
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n')
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/** Borrowed folders may be read only, whoever asks. */
const mounts = (root: string): readonly string[] => [
  'set -e',
  'ip link set lo up',
  `mount --bind ${quoted(root)} ${quoted(root)}`,
  ...BORROWED.flatMap((each) => {
    const inside = quoted(join(root, 'usr', each))
    return [`mount --bind /usr/${each} ${inside}`, `mount -o remount,bind,ro ${inside}`]
  }),
  `mount --bind /dev ${quoted(join(root, 'dev'))}`,
  `mount -t proc proc ${quoted(join(root, 'proc'))}`,
]

const unshared = (script: readonly string[]): readonly string[] => [
  '--mount',
  '--net',
  '--pid',
  '--fork',
  '--kill-child',
  'sh',
  '-c',
  script.join('\n'),
]

/** Runs a command of the image's making: as root, inside of the root folder. */
export const runInRoot = async (root: string, command: string): Promise<void> => {
  const script = [...mounts(root), `exec chroot ${quoted(root)} env -i PATH=${PATH} sh -ec ${quoted(command)}`]
  await promisify(execFile)('unshare', unshared(script))
}

/** What a container is run with, as an image and a compose file say it. */
export interface ContainerOptions {
  readonly root: string
  readonly user: string
  readonly workdir: string
  readonly command: readonly string[]
  /** Folders and files of this machine, by their place inside. */
  readonly volumes: readonly { readonly source: string; readonly target: string; readonly isReadOnly: boolean }[]
}

/** A container that runs. */
export interface Container {
  readonly stdout: Readable
  /** What the process has written on standard error. */
  log(): string
  /** Runs a command in it, as `docker exec` does; gives what it printed. */
  execute(command: readonly string[], input?: string): Promise<string>
  /** Sends the signal to its first process and gives that one's exit code. */
  stop(signal: NodeJS.Signals): Promise<unknown>
  /** Ends it, however it is. */
  kill(): Promise<void>
}

/** Starts a container whose root folder may only be read, and whose process has no capability and can get none. */
export const startContainer = (options: ContainerOptions): Container => {
  const { root, volumes } = options
  const script = [
    ...mounts(root),
    `mount -o remount,bind,ro ${quoted(root)}`,
    ...volumes.flatMap(({ source, target, isReadOnly }) => {
      const inside = quoted(join(root, target))
      return [`mount --bind ${quoted(source)} ${inside}`, ...(isReadOnly ? [`mount -o remount,bind,ro ${inside}`] : [])]
    }),
    `exec chroot ${quoted(root)} ${withoutRights(options, options.command).map(quoted).join(' ')}`,
  ]
  const outer = spawn('unshare', unshared(script), { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  outer.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  return {
    stdout: outer.stdout,
    log: () => log,
    execute: (command, input = '') => {
      const place = ['--target', firstProcess(outer), '--mount', '--net', '--pid', '--root']
      return execute('nsenter', [...place, ...withoutRights(options, command)], input)
    },
    async stop(signal) {
      const exited = once(outer, 'exit')
      process.kill(Number(firstProcess(outer)), signal)
      const [code] = await exited
      return code
    },
    async kill() {
      if (outer.exitCode !== null || outer.signalCode !== null) return
      const exited = once(outer, 'exit')
      outer.kill('SIGKILL')
      await exited
    },
  }
}

const withoutRights = ({ user, workdir }: ContainerOptions, command: readonly string[]): readonly string[] => {
  const [uid = '', gid = ''] = user.split(':')
  const rights = ['--clear-groups', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all']
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, ...rights, 'env', '-i', '-C', workdir, `PATH=${PATH}`, ...command]
}

/** Outside, the first process of the container is the only child of the one that made the namespaces. */
const firstProcess = ({ pid }: ChildProcessByStdio<null, Readable, Readable>): string =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()

const execute = (file: string, args: readonly string[], input: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile(file, args, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${args.join(' ')}: ${stdout}${stderr}`)),
    )
    child.stdin?.end(input)
  })
