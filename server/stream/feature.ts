import type { Element } from '#stanzas/element.ts'
import type { C2sStream } from './c2s.ts'

/** How far a stream has come (RFC 6120 §4.3.2, XEP-0170). */
export type Phase = 'before-login' | 'after-login' | 'bound' | 'closed'

/** A stream feature: when it is offered, which elements it answers. */
export interface StreamFeature {
  readonly name: string
  /** The elements it answers, as namespace and name. */
  readonly elements: readonly (readonly [ns: string, name: string])[]
  /** What stands for it in `<stream:features/>` now, if anything. */
  offer(stream: C2sStream): Element | undefined
  /** Answers one of its elements. Further input waits for a promise. */
  handle(stream: C2sStream, element: Element): void | Promise<void>
}
