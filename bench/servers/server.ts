/** What a row wants of the server: what it keeps of a message, how it keeps passwords, and where. */
export type Setup = {
  readonly ledger: 'off' | 'durable'
  /** Whether the peers archive (XEP-0313): what they have to set against a durable ledger. */
  readonly archive: boolean
  /** How the peers keep passwords; Waxwing always keeps SCRAM keys. */
  readonly passwords: 'clear' | 'sha1' | 'sha256'
  /** Whether the peers do XEP-0163, which Waxwing always does. */
  readonly events?: true
}

export type Ports = { readonly c2s: number; readonly tls: number; readonly http: number }

export type RunningServer = {
  readonly name: string
  readonly pid: number
  readonly domain: string
  readonly ports: Ports
  readonly websocketUrl: string
  /** Ends the process; with SIGKILL it gets no chance to save anything. */
  readonly end: (signal?: NodeJS.Signals) => Promise<void>
}

export type Launcher = {
  readonly name: string
  /** What most rows log in with: the mechanism that is quickest for this server, since they do not measure it. */
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256'
  /** Why this server cannot run here, if it cannot. */
  readonly missing: () => string | undefined
  readonly suits: (setup: Setup) => boolean
  /** Starts the server on a data folder; given ports are used again. */
  readonly start: (setup: Setup, folder: string, ports?: Ports) => Promise<RunningServer>
}

/** The domain every server of the bench serves. */
export const DOMAIN = 'localhost'
