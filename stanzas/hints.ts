import { NS_HINTS } from './namespaces.ts'
import type { Stanza } from './stanza.ts'

const HINTS = ['store', 'no-store', 'no-permanent-store', 'no-copy'] as const

/** What a sender wishes for the copies of a message (XEP-0334 §4). */
export type Hint = (typeof HINTS)[number]

const NO_HINTS: ReadonlySet<Hint> = new Set()

const isHint = (name: string): name is Hint => (HINTS as readonly string[]).includes(name)

/** The hints a stanza carries (XEP-0334 §4). */
export const hintsOf = (stanza: Pick<Stanza, 'payloads' | 'type'>): ReadonlySet<Hint> => {
  let hints: Set<Hint> | undefined
  for (const { ns, name } of stanza.payloads) {
    if (ns !== NS_HINTS || !isHint(name)) continue
    // XEP-0334 §5: an error holds the hints of what it answers; they are not its own.
    if (stanza.type === 'error') return NO_HINTS
    hints ??= new Set()
    hints.add(name)
  }
  return hints ?? NO_HINTS
}
