/** One request to the HTTP server. */
export interface HttpRequest {
  readonly method: string
  /** The path as it was sent, percent-encoding and all, without the query. */
  readonly path: string
  /** What stands behind the prefix of a route that ends in `/*`, decoded; empty otherwise. */
  readonly rest: string
  readonly query: URLSearchParams
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The IP address of whoever asks: after a PROXY header, or by the word of a reverse proxy on this machine. */
  readonly remoteAddress: string
  /** Whether nobody can read this hop: TLS, or this machine's loopback. */
  readonly secure: boolean
  /** The whole body; answers 413 by itself when it is larger than the route's `maxBodyBytes`. */
  body(): Promise<Buffer>
  /** The body as it arrives, under the same limit; for what is too large to hold. */
  readonly chunks: AsyncIterable<Buffer>
}

/** The answer to a request; what a handler leaves unanswered becomes 204. */
export interface HttpResponse {
  /** Answers; a body that is iterated is streamed. To be called once. */
  send(status: number, headers?: Readonly<Record<string, string>>, body?: string | Buffer | AsyncIterable<Buffer>): Promise<void>
}

/** A place on the HTTP server. */
export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH'
  /** An exact path, or a prefix that ends in `/*`. A GET route answers HEAD too. */
  readonly path: string
  /** Who may reach it: everyone, or only those who reach the operators' port on the loopback address. */
  readonly audience?: 'public' | 'operators'
  /** The largest body it takes; none unless said. */
  readonly maxBodyBytes?: number
  /** Whether web pages from anywhere may call it (CORS); for what is public anyway or carries its own credentials. */
  readonly cors?: boolean
  handle(request: HttpRequest, response: HttpResponse): void | Promise<void>
}
