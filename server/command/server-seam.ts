import type { Config } from '#server/base/config.ts'
import type { Logger } from '#server/base/log.ts'
import type { Operations } from '#server/base/operations.ts'
import type { SectionSchema } from '#server/base/schema.ts'

/** What `--dev` asks for beyond the configuration: open registration. */
export interface DevOptions {
  readonly isDev: true
}

/** A server that listens. */
export interface RunningServer {
  readonly ports: {
    readonly c2s?: number
    readonly tls?: number
    readonly http?: number
    readonly https?: number
    readonly admin?: number
  }
  /** The certificate that signed the server's own, when it made one. */
  readonly caFile?: string
  readonly operations: Operations
  stop(): Promise<void>
}

/** What is read of a module before anything runs. */
export interface DeclaredModule {
  readonly name: string
  readonly summary: string
  readonly xeps: Readonly<Record<string, string>>
  readonly features: { readonly server?: readonly string[]; readonly account?: readonly string[] }
  readonly config: SectionSchema
}

/** The server as the command line knows it: loaded only when a command needs it, so that help is instant. */
export interface ServerSeam {
  startServer(options: { readonly config: Config; readonly dev?: DevOptions; readonly log: Logger }): Promise<RunningServer>
  /** Opens the store of a server that does not run. */
  openOperations(config: Config): Promise<{ readonly operations: Operations; close(): Promise<void> }>
  /** The hooks of all modules in the order in which they run, as text. */
  describeOrder(config: Config): Promise<string>
  readonly modules: readonly DeclaredModule[]
}
