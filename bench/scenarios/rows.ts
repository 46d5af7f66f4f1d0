import { archiveRows } from './archive.ts'
import { chatRows } from './chat.ts'
import { clusterRows } from './cluster.ts'
import { idleRows } from './idle.ts'
import { killRows, strictKillRows } from './kill.ts'
import { loginRows } from './login.ts'
import { offlineRows } from './offline.ts'
import { pepRows } from './pep.ts'
import type { AnyRow } from './row.ts'
import { workersRows } from './workers.ts'

/** Every row of the bench, in the order of the table. */
export const ROWS: readonly AnyRow[] = [
  ...loginRows,
  ...idleRows,
  ...chatRows,
  ...offlineRows,
  ...archiveRows,
  ...pepRows,
  ...clusterRows,
  ...workersRows,
  ...killRows,
  ...strictKillRows,
]

/** The rows of that name, or whose names begin with it: `chat` means all of them, `chat=` only the one. */
export function rowsNamed(names: readonly string[]): readonly AnyRow[] {
  const wants = (name: string, id: string) =>
    name.endsWith('=') ? id === name.slice(0, -1) : id === name || id.startsWith(`${name}-`)
  const unknown = names.find((name) => !ROWS.some(({ id }) => wants(name, id)))
  if (unknown !== undefined) throw new Error(`no row is named ${unknown}; there are ${ROWS.map(({ id }) => id).join(', ')}`)
  return ROWS.filter(({ id }) => names.some((name) => wants(name, id)))
}
