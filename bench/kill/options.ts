import type { Target } from '../client/connection.ts'
import type { Mechanism } from '../client/login.ts'

/** What the receivers do when the server is killed: read all, stay away until after it, or hold a socket they do not read from. */
export type Receivers = 'read' | 'away' | 'hang'

export type KillOptions = {
  readonly receivers: Receivers
  readonly target: Target
  readonly serverPort: number
  readonly mechanism: Mechanism
  readonly pairs: number
  /** Messages a sender may have unacknowledged. */
  readonly window: number
  readonly bodyBytes: number
  /** How long the load lasts before the kill. */
  readonly seconds: number
}

export type KillReport = {
  readonly sent: number
  readonly acked: number
  /** Acknowledged by XEP-0198 and never seen by the receiver. */
  readonly lost: number
  /** Copies that a receiver who compares stanza ids (XEP-0359) cannot tell from new messages. */
  readonly doubled: number
  /** Copies with the stanza-id of one that came before: such a receiver drops them. */
  readonly repeated: number
  readonly reordered: number
  readonly resumed: number
  readonly fullSockets: number
  readonly notBack: number
}
