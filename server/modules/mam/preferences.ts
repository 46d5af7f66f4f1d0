import { type Element, el } from '#stanzas/element.ts'
import { type Address, type BareJid, type Jid, parseJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import { NS_MAM } from './query.ts'

const DEFAULTS = ['always', 'never', 'roster'] as const

/** Whose messages an account wants in its archive (XEP-0441 §2.1). */
export interface Preferences {
  readonly default: (typeof DEFAULTS)[number]
  readonly always: readonly Jid[]
  readonly never: readonly Jid[]
}

/** What holds for an account that has not said anything. */
export const EVERYTHING: Preferences = { default: 'always', always: [], never: [] }

const jidsIn = (prefs: Element, name: string): readonly Jid[] => {
  const jids = new Set<Jid>()
  for (const each of prefs.getChild(name)?.getChildren('jid') ?? []) {
    const address = parseJid(each.text().trim())
    if (address === undefined) throw new StanzaError('jid-malformed')
    jids.add(address.jid)
  }
  return [...jids]
}

/** Reads preferences (XEP-0441 §2.1); throws what their sender is told when they do not do. */
export const readPreferences = (prefs: Element, maxJids: number): Preferences => {
  // §2.1.1: it must be one of these.
  const standard = DEFAULTS.find((each) => each === prefs.attrs.default)
  if (standard === undefined) throw new StanzaError('bad-request', { text: `default is ${DEFAULTS.join(', ')}` })
  // §2.1.2, §2.1.3: a list that is not there is empty.
  const read = { default: standard, always: jidsIn(prefs, 'always'), never: jidsIn(prefs, 'never') }
  if (read.always.length + read.never.length > maxJids)
    throw new StanzaError('policy-violation', { text: `at most ${maxJids} addresses are kept` })
  return read
}

const listElement = (name: string, jids: readonly Jid[]): Element =>
  el(NS_MAM, name, {}, ...jids.map((jid) => el(NS_MAM, 'jid', {}, jid)))

/** Tells what holds; both lists are there, even if empty (XEP-0441 §2.1). */
export const preferencesElement = (preferences: Preferences): Element =>
  el(
    NS_MAM,
    'prefs',
    { default: preferences.default },
    listElement('always', preferences.always),
    listElement('never', preferences.never),
  )

/** Preferences as they are asked with every message. */
export class Choice {
  readonly #default: Preferences['default']
  readonly #always: ReadonlySet<Jid>
  readonly #never: ReadonlySet<Jid>

  constructor(preferences: Preferences) {
    this.#default = preferences.default
    this.#always = new Set(preferences.always)
    this.#never = new Set(preferences.never)
  }

  /** Whether messages from or to this address are archived; `isContact` looks into the roster, and is asked only where that matters. */
  covers(target: Address, isContact: (jid: BareJid) => boolean | Promise<boolean>): boolean | Promise<boolean> {
    // XEP-0441 §2.3.1: a listed bare JID stands for all its resources. Who is in both lists wants to be careful.
    if (this.#never.has(target.jid) || this.#never.has(target.bare)) return false
    if (this.#always.has(target.jid) || this.#always.has(target.bare)) return true
    return this.#default === 'roster' ? isContact(target.bare) : this.#default === 'always'
  }
}
