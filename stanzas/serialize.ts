import type { Element } from './element.ts'
import type { Wire } from './wire.ts'

/** Writes an element as it stands inside a parent of the given default namespace. */
export const serialize = (_element: Element, _parentNs: string): Wire => {
  throw new Error('not yet')
}
