import type { CoreConfig } from '#server/base/core-config.ts'

/** What a client may do on its stream (XEP-0478). */
export interface StreamLimits {
  /** The largest first-level element. */
  readonly maxBytes: number
  /** How long the stream may be silent; absent where that does not matter. */
  readonly maxIdleMs?: number
}

/** The limits of a stream before its client has logged in, and after. */
export const streamLimitsOf = ({
  limits,
}: Pick<CoreConfig, 'limits'>): { readonly beforeLogin: StreamLimits; readonly afterLogin: StreamLimits } => ({
  beforeLogin: { maxBytes: limits.bytesBeforeLogin, maxIdleMs: limits.loginTimeout },
  afterLogin: {
    maxBytes: limits.stanzaBytes,
    ...(limits.idleTimeout === 'forever' ? {} : { maxIdleMs: limits.idleTimeout }),
  },
})
