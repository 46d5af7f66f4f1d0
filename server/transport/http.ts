import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { TLSSocket } from 'node:tls'
import type { Logger } from '#server/base/log.ts'
import type { HttpRequest, HttpResponse, HttpRoute } from '#server/core/http-route.ts'
import { askerAddress, isLoopback } from './forwarded.ts'

/** Takes over a connection whose request asks for another protocol, as WebSocket does. */
export type Upgrade = (request: IncomingMessage, socket: Socket, head: Buffer, remoteAddress: string) => void

/** What the HTTP server answers. */
export interface HttpOptions {
  readonly routes: readonly HttpRoute[]
  /** By path. */
  readonly upgrades: Readonly<Record<string, Upgrade>>
  readonly log: Logger
  /** Is told the status of each answer that was sent. */
  readonly onAnswered?: (status: number) => void
}

/** A request's head is small; who sends it drop by drop is cut. */
const HEAD_TIMEOUT_MS = 10_000
/** How often Node looks who is over these times; its own half minute would make 40 s of the 10 s. */
const TIMEOUT_CHECK_MS = 2_000
/** A large upload over a slow line still fits. */
const REQUEST_TIMEOUT_MS = 1_800_000
/** Nothing in either direction for so long: cut. */
const SILENCE_TIMEOUT_MS = 60_000
/** Longer than the pauses between a page's requests, shorter than what proxies keep. */
const KEEP_ALIVE_TIMEOUT_MS = 15_000
/** How long browsers may remember that a route allows CORS. */
const CORS_MAX_AGE_SECONDS = 86_400

/** For whatever a route does not say itself: nothing here is to be sniffed, framed or run as a page. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
}

class BodyTooLarge extends Error {}

/**
 * One HTTP server for any number of listeners: sockets are handed to it, plain or under TLS, after limits and PROXY headers.
 * Routes are data, found by exact path first and then by the longest prefix.
 */
export class HttpServer {
  readonly kind = 'http'
  readonly #server: Server
  readonly #log: Logger
  readonly #exact = new Map<string, Map<string, HttpRoute>>()
  readonly #prefixes: { readonly prefix: string; readonly methods: Map<string, HttpRoute> }[] = []
  readonly #upgrades: ReadonlyMap<string, Upgrade>
  readonly #addresses = new WeakMap<Socket, string>()

  /** Throws when two routes claim the same place. */
  constructor({ routes, upgrades, log, onAnswered }: HttpOptions) {
    this.#log = log
    this.#upgrades = new Map(Object.entries(upgrades))
    this.add(routes)
    this.#server = createServer({
      headersTimeout: HEAD_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    })
    this.#server.timeout = SILENCE_TIMEOUT_MS
    this.#server.on('request', (request, response) => {
      if (onAnswered !== undefined) response.once('finish', () => onAnswered(response.statusCode))
      void this.#answer(request, response)
    })
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    // Node starts to watch its time-outs when its server listens; ours is handed sockets instead.
    this.#server.emit('listening')
  }

  /** Takes a connection. */
  serve(socket: Socket, remoteAddress: string): void {
    this.#addresses.set(socket, remoteAddress)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Lets requests in progress finish and cuts the rest; WebSockets are their own affair. */
  close(): void {
    this.#server.close()
  }

  /** Answers more; throws when two routes claim the same place. */
  add(routes: readonly HttpRoute[]): void {
    for (const route of routes) this.#add(route)
    this.#prefixes.sort((a, b) => b.prefix.length - a.prefix.length)
  }

  #add(route: HttpRoute): void {
    const isPrefix = route.path.endsWith('/*')
    const path = isPrefix ? route.path.slice(0, -1) : route.path
    let methods = isPrefix ? this.#prefixes.find(({ prefix }) => prefix === path)?.methods : this.#exact.get(path)
    if (methods === undefined) {
      methods = new Map()
      if (isPrefix) this.#prefixes.push({ prefix: path, methods })
      else this.#exact.set(path, methods)
    }
    if (methods.has(route.method)) throw new Error(`Two routes answer ${route.method} ${route.path}.`)
    methods.set(route.method, route)
  }

  #find(path: string): { readonly methods: ReadonlyMap<string, HttpRoute>; readonly rest: string } | undefined {
    const methods = this.#exact.get(path)
    if (methods !== undefined) return { methods, rest: '' }
    const found = this.#prefixes.find(({ prefix }) => path.startsWith(prefix))
    return found && { methods: found.methods, rest: path.slice(found.prefix.length) }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const name in SECURITY_HEADERS) response.setHeader(name, SECURITY_HEADERS[name] ?? '')
    const url = urlOf(request)
    const rest = url && decodedPath(url.pathname)
    if (url === undefined || rest === undefined) return refuse(response, 400)
    const found = this.#find(url.pathname)
    if (found === undefined) return refuse(response, 404)
    const method = request.method ?? ''
    const route = found.methods.get(method === 'HEAD' ? 'GET' : method)
    const hasCors = [...found.methods.values()].some(({ cors }) => cors === true)
    if (hasCors) response.setHeader('Access-Control-Allow-Origin', '*')
    const allow = allowedMethods(found.methods)
    if (method === 'OPTIONS') return answerOptions(response, allow, hasCors)
    if (route === undefined) return refuse(response, 405, { Allow: allow })
    const hop = this.#addresses.get(request.socket) ?? ''
    const asked = new IncomingRequest(request, url, decodeURIComponent(found.rest), hop, route.maxBodyBytes ?? 0)
    try {
      asked.checkLength()
      await route.handle(asked, new OutgoingResponse(response))
      if (!response.headersSent) response.writeHead(204).end()
    } catch (error) {
      this.#fail(error, route, response)
    }
  }

  #fail(error: unknown, route: HttpRoute, response: ServerResponse): void {
    // The peer went away while it was answered.
    if (response.destroyed) return
    if (!(error instanceof BodyTooLarge))
      this.#log.error('http-handler-failed', { method: route.method, path: route.path, error })
    if (response.headersSent) response.destroy()
    else refuse(response, error instanceof BodyTooLarge ? 413 : 500, { Connection: 'close' })
  }

  #upgrade(request: IncomingMessage, socket: unknown, head: Buffer): void {
    if (!(socket instanceof Socket)) return
    const upgrade = this.#upgrades.get(urlOf(request)?.pathname ?? '')
    if (upgrade === undefined) refuseUpgrade(socket, '404 Not Found')
    else upgrade(request, socket, head, askerAddress(this.#addresses.get(socket) ?? '', request.headers))
  }
}

/** Answers a request for another protocol with a refusal and ends the connection. */
export const refuseUpgrade = (socket: Socket, status: string, reason = ''): void => {
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`)
}

const refuse = (response: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void => {
  response.writeHead(status, { 'Content-Length': '0', ...headers }).end()
}

const allowedMethods = (methods: ReadonlyMap<string, HttpRoute>): string =>
  [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ')

const answerOptions = (response: ServerResponse, allow: string, hasCors: boolean): void => {
  const cors = {
    'Access-Control-Allow-Methods': allow,
    'Access-Control-Allow-Headers': 'Content-Type, Authorization',
    'Access-Control-Max-Age': String(CORS_MAX_AGE_SECONDS),
  }
  response.writeHead(204, { Allow: allow, ...(hasCors ? cors : {}) }).end()
}

/** The request's target in origin form (RFC 9112 §3.2.1), as it was sent: dots in the path are not resolved. */
const urlOf = (request: IncomingMessage): { readonly pathname: string; readonly query: string } | undefined => {
  const target = request.url ?? ''
  if (!target.startsWith('/')) return undefined
  const [pathname = '', ...query] = target.split('?')
  return { pathname, query: query.join('?') }
}

/** `undefined` for what would mean another place once decoded: bad escapes, NUL, and steps up the tree. */
const decodedPath = (path: string): string | undefined => {
  try {
    const decoded = decodeURIComponent(path)
    return decoded.includes('\0') || decoded.split(/[/\\]/).some((step) => step === '..' || step === '.') ? undefined : decoded
  } catch {
    return undefined
  }
}

class IncomingRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly rest: string
  readonly query: URLSearchParams
  readonly headers: HttpRequest['headers']
  readonly remoteAddress: string
  readonly secure: boolean
  readonly #request: IncomingMessage
  readonly #maxBytes: number

  constructor(
    request: IncomingMessage,
    url: { readonly pathname: string; readonly query: string },
    rest: string,
    hop: string,
    maxBytes: number,
  ) {
    this.method = request.method ?? ''
    this.path = url.pathname
    this.rest = rest
    this.query = new URLSearchParams(url.query)
    this.headers = request.headers
    this.remoteAddress = askerAddress(hop, request.headers)
    this.secure = request.socket instanceof TLSSocket || isLoopback(hop)
    this.#request = request
    this.#maxBytes = maxBytes
  }

  /** A body that says it is too large is refused before it is read. */
  checkLength(): void {
    if (Number(this.#request.headers['content-length'] ?? 0) > this.#maxBytes) throw new BodyTooLarge()
  }

  async body(): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of this.chunks) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  get chunks(): AsyncIterable<Buffer> {
    return limited(this.#request, this.#maxBytes)
  }
}

async function* limited(request: IncomingMessage, maxBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0
  // Left open on failure, so that the refusal can still be written.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > maxBytes) throw new BodyTooLarge()
    yield chunk
  }
}

class OutgoingResponse implements HttpResponse {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  async send(
    status: number,
    headers: Readonly<Record<string, string>> = {},
    body?: string | Buffer | AsyncIterable<Buffer>,
  ): Promise<void> {
    const response = this.#response
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) {
      const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : (body ?? Buffer.alloc(0))
      const length = status === 204 || status === 304 ? {} : { 'Content-Length': String(bytes.length) }
      response.writeHead(status, { ...length, ...headers }).end(bytes)
      return
    }
    response.writeHead(status, { ...headers })
    await pipeline(body, response)
  }
}
