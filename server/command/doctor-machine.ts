import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Finding } from './finding.ts'

const OLDEST_NODE = 24

/** Node runs the sources as they stand from this version on. */
export const examineNode = (version: string): Finding =>
  Number.parseInt(version, 10) >= OLDEST_NODE
    ? { kind: 'good', what: `Node ${version}` }
    : { kind: 'bad', what: `Node ${version} is too old`, fix: `Install Node ${OLDEST_NODE} or newer.` }

/** A clock before this is not set: the program is younger. */
const BEFORE_THE_PROGRAM_MS = Date.UTC(2026, 0, 1)
/** What a file may be ahead of the clock by rounding, in milliseconds. */
const SLACK_MS = 5000

/** Certificates, archives and tokens depend on the time of day. */
export const examineClock = (nowMs: number, folder: string): readonly Finding[] => {
  const now = new Date(nowMs).toISOString()
  const fix = 'Set the clock, and keep it right with systemd-timesyncd, chrony or ntpd.'
  if (nowMs < BEFORE_THE_PROGRAM_MS) return [{ kind: 'bad', what: `the clock says ${now}, which is past`, fix }]
  const touchedMs = existsSync(folder) ? statSync(folder).mtimeMs : 0
  if (touchedMs > nowMs + SLACK_MS)
    return [{ kind: 'bad', what: `the clock says ${now}, but ${folder} was written later than that`, fix }]
  const isWatched = existsSync('/run/systemd/timesync')
  if (isWatched && !existsSync('/run/systemd/timesync/synchronized'))
    return [
      {
        kind: 'doubtful',
        what: `the clock says ${now}, and no time server has confirmed it`,
        fix: 'Look at `timedatectl status`.',
      },
    ]
  return [{ kind: 'good', what: `the clock says ${now}` }]
}

const MEBIBYTE = 1024 ** 2
/** Below this, a busy day fills the disk. */
const LITTLE_SPACE_BYTES = 1024 * MEBIBYTE
/** Below this, SQLite may soon fail to commit. */
const NO_SPACE_BYTES = 100 * MEBIBYTE

/** The data folder must be writable and have room. */
export const examineStorage = (folder: string): readonly Finding[] => {
  let place = folder
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place)
  try {
    accessSync(place, constants.W_OK | constants.X_OK)
  } catch {
    return [
      {
        kind: 'bad',
        what: `${place} is not writable`,
        fix: 'Give the folder to the user who runs the server (chown), or write another one as `data`.',
      },
    ]
  }
  const { bavail, bsize } = statfsSync(place)
  const free = bavail * bsize
  const findings: Finding[] = []
  const freeMiB = Math.floor(free / MEBIBYTE)
  if (free >= LITTLE_SPACE_BYTES) findings.push({ kind: 'good', what: `${folder} is writable, with ${freeMiB} MiB free` })
  else
    findings.push({
      kind: free < NO_SPACE_BYTES ? 'bad' : 'doubtful',
      what: `${folder} is writable, but its disk has only ${freeMiB} MiB free`,
      fix: 'Free space on that disk, or shorten `ledger.retention`.',
    })
  if (place === folder && (statSync(folder).mode & 0o007) !== 0)
    findings.push({
      kind: 'doubtful',
      what: `everyone on this machine may look into ${folder}`,
      fix: `Run: chmod o-rwx ${folder}`,
    })
  return findings
}

/** Each connection is a file; a few hundred more are the server's own. */
const FEW_FILES = 4096

/** How many connections the system lets the process have. */
export const examineFileLimit = (limits: string | undefined = readLimits()): readonly Finding[] => {
  const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(limits ?? '') ?? []
  if (hard === undefined) return []
  // Node raises its soft limit to the hard one by itself.
  if (hard !== 'unlimited' && Number(hard) < FEW_FILES)
    return [
      {
        kind: 'doubtful',
        what: `the process may open ${hard} files, so there can be no more connections than that`,
        fix: 'Set LimitNOFILE=65536 in the systemd unit, or `ulimit -Hn 65536` in the shell.',
      },
    ]
  return [{ kind: 'good', what: `the process may open ${hard} files` }]
}

const readLimits = (): string | undefined =>
  existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : undefined
