/** A database refused or failed. The peer is told `resource-constraint`, the operator gets one log event with `cause`. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  /** Whether trying again later may help (busy, full disk, connection lost). */
  readonly isTransient: boolean

  constructor(message: string, options: { readonly isTransient: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause })
    this.isTransient = options.isTransient
  }
}
