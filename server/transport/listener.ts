import { type AddressInfo, BlockList, createServer, isIPv6, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Counter, Metrics } from '#server/base/metrics.ts'
import type { Accept } from '#server/stream/connection.ts'
import { Admission, type ConnectionLimits } from './admission.ts'
import { isLoopback } from './forwarded.ts'
import { normalAddress, readProxyHeader } from './proxy-protocol.ts'
import { TcpConnection, type TcpOptions } from './tcp.ts'
import { type CertificateSource, type HandshakeOptions, handshake, reasonOf, secure } from './tls.ts'

/** Who speaks on a listener: XMPP streams, or a server that takes sockets, as the HTTP server does. */
export type Service =
  | { readonly kind: 'xmpp'; readonly accept: Accept }
  | { readonly kind: 'http'; serve(socket: Socket, remoteAddress: string): void }

/** One port to listen on. */
export interface ListenerOptions {
  /** For the log and the metrics. */
  readonly name: string
  /** IP addresses; none means all of the machine's. */
  readonly addresses: readonly string[]
  /** 0 picks a free one. */
  readonly port: number
  /** `direct`: TLS from the first byte (XEP-0368, HTTPS). `starttls`: plain until the client asks (RFC 6120 §5). */
  readonly security: 'none' | 'starttls' | 'direct'
  readonly service: Service
}

/** What all listeners of a process share. */
export interface TransportOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly certificates: CertificateSource
  readonly limits: ConnectionLimits
  /** Addresses and networks whose connections begin with a PROXY header; nobody else's may. */
  readonly proxies: readonly string[]
  /** Lets several processes listen on one port. */
  readonly reusePort: boolean
}

/** The open listeners. */
export interface Listeners {
  /** The port of each listener by its name. */
  readonly ports: Readonly<Record<string, number>>
  /** Opens more of them, or closes all and rejects. */
  add(listeners: readonly ListenerOptions[]): Promise<void>
  /** Stops accepting, but on those that are to be spared, and cuts who has not been handed to a service yet; the others' connections go on. */
  close(spared?: readonly string[]): void
}

/** RFC 7301, IANA's registry: the protocol names of XEP-0368 §2 and of HTTP. */
const ALPN: Readonly<Record<Service['kind'], readonly string[]>> = { xmpp: ['xmpp-client'], http: ['http/1.1'] }

/** A peer that only holds a socket open is gone after this; a slow phone on a bad line still makes it. */
const HANDSHAKE_TIMEOUT_MS = 10_000
/** A proxy sends its header with its first packet. */
const PROXY_HEADER_TIMEOUT_MS = 3_000
/** How long a closing peer may take to read our last words. */
const GRACE_MS = 5_000
/** Finds the peer that vanished behind a NAT, before the stream layer asks; the kernel's default is two hours. */
const KEEP_ALIVE_MS = 300_000
/** How often waiting connections get their turn. */
const TURN_MS = 50

/** Opens every listener, or none: a port that cannot be had closes the others and rejects. */
export const openListeners = async (listeners: readonly ListenerOptions[], options: TransportOptions): Promise<Listeners> => {
  const admission = new Admission(options.limits)
  options.metrics.gauge('connections', 'Open connections.', () => admission.total, options.metrics.process)
  const open = new Map<string, Listener>()
  const ports: Record<string, number> = {}
  const close = (spared: readonly string[] = []): void => {
    for (const [name, listener] of open) if (!spared.includes(name) && open.delete(name)) listener.close()
  }
  const add = async (more: readonly ListenerOptions[]): Promise<void> => {
    try {
      for (const each of more) {
        const listener = new Listener(each, options, admission)
        open.set(each.name, listener)
        ports[each.name] = await listener.open()
      }
    } catch (error) {
      close()
      throw error
    }
  }
  await add(listeners)
  return { ports, add, close }
}

/** A socket knows what it took from the limits, so that one shared function gives it back. */
const place = Symbol('place')
type PlacedSocket = Socket & { [place]?: string | undefined }

class Listener {
  readonly #listener: ListenerOptions
  readonly #options: TransportOptions
  readonly #admission: Admission
  readonly #tcp: TcpOptions
  readonly #handshake: HandshakeOptions
  readonly #proxies: BlockList | undefined
  readonly #servers: Server[] = []
  readonly #waiting: Socket[] = []
  /** Sockets that are with us and not with a service yet. */
  readonly #arriving = new Set<Socket>()
  readonly #counters: {
    readonly accepted: Counter
    readonly refused: Counter
    readonly tlsFailed: Counter
    readonly proxyFailed: Counter
  }
  readonly #giveBack: (this: PlacedSocket) => void
  #tokens: number
  #filledMs: number
  #isClosed = false

  constructor(listener: ListenerOptions, options: TransportOptions, admission: Admission) {
    this.#listener = listener
    this.#options = options
    this.#admission = admission
    this.#tokens = options.limits.acceptsPerSecond
    this.#filledMs = options.clock.monotonicMs()
    this.#proxies = blockListOf(options.proxies)
    const { clock, certificates } = options
    const handshake = { clock, certificates, timeoutMs: HANDSHAKE_TIMEOUT_MS }
    this.#handshake = { ...handshake, alpn: ALPN[listener.service.kind] }
    this.#tcp = {
      clock,
      graceMs: GRACE_MS,
      startTls: listener.security === 'starttls' ? handshake : undefined,
      onTlsFailure: (remoteAddress, reason) => this.#tlsFailed(remoteAddress, reason),
    }
    const labels = { listener: listener.name }
    const count = (name: string, help: string): Counter => options.metrics.counter(name, help, labels)
    this.#counters = {
      accepted: count('connections_accepted_total', 'Connections that were handed to their service.'),
      refused: count('connections_refused_total', 'Connections beyond a limit.'),
      tlsFailed: count('tls_handshakes_failed_total', 'TLS handshakes that failed or took too long.'),
      proxyFailed: count('proxy_headers_failed_total', 'Connections from a proxy without a valid PROXY header.'),
    }
    options.metrics.gauge('connections_waiting', 'Connections that wait to be accepted.', () => this.#waiting.length, labels)
    this.#giveBack = function (this: PlacedSocket): void {
      admission.leave()
      if (this[place] !== undefined) admission.leaveAddress(this[place])
    }
  }

  /** Opens the port on every address; resolves to its number. */
  async open(): Promise<number> {
    const { addresses, name } = this.#listener
    let port = this.#listener.port
    if (addresses.length === 0) return this.#listen(undefined, port)
    for (const [index, address] of addresses.entries()) {
      try {
        port = await this.#listen(address, port)
      } catch (error) {
        // A container without IPv6 has no ::1; what remains is enough.
        if (!isMissingIpv6(address, error) || (this.#servers.length === 0 && index === addresses.length - 1)) throw error
        this.#options.log.warn('address-not-available', { listener: name, address })
      }
    }
    return port
  }

  close(): void {
    this.#isClosed = true
    for (const server of this.#servers) server.close()
    for (const socket of this.#waiting.splice(0)) socket.destroy()
    for (const socket of this.#arriving) socket.destroy()
  }

  #listen(host: string | undefined, port: number): Promise<number> {
    // Half-open, so that a peer that only stopped writing still gets what is queued; paused, so that who waits costs no buffer.
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    })
    server.on('connection', (socket) => this.#arrive(socket))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, reusePort: this.#options.reusePort, ...(host === undefined ? {} : { host }) }, () => {
        server.off('error', reject)
        server.on('error', (error) => this.#options.log.error('accept-failed', { listener: this.#listener.name, error }))
        this.#servers.push(server)
        resolve(portOf(server.address()))
      })
    })
  }

  #arrive(socket: Socket): void {
    if (!this.#admission.enter()) {
      this.#refuse(socket, 'too many connections')
      return
    }
    socket.on('error', ignore).on('close', this.#giveBack)
    if (this.#waiting.length > 0) this.#waiting.push(socket)
    else if (this.#takeToken()) this.#welcome(socket)
    else {
      this.#waiting.push(socket)
      this.#options.clock.after(TURN_MS, () => this.#letIn())
    }
  }

  #letIn(): void {
    let admitted = 0
    while (admitted < this.#waiting.length && this.#takeToken()) admitted++
    for (const socket of this.#waiting.splice(0, admitted)) this.#welcome(socket)
    if (this.#waiting.length > 0) this.#options.clock.after(TURN_MS, () => this.#letIn())
  }

  #takeToken(): boolean {
    const rate = this.#options.limits.acceptsPerSecond
    const nowMs = this.#options.clock.monotonicMs()
    this.#tokens = Math.min(rate, this.#tokens + ((nowMs - this.#filledMs) * rate) / 1000)
    this.#filledMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  #welcome(socket: Socket): void {
    // The peer may be gone already, with its address.
    const address = socket.remoteAddress
    if (address === undefined) {
      socket.destroy()
      return
    }
    const remoteAddress = normalAddress(address)
    const isProxied = this.#proxies?.check(remoteAddress, isIPv6(remoteAddress) ? 'ipv6' : 'ipv4') === true
    if (!isProxied && this.#listener.security !== 'direct') {
      if (this.#takePlace(socket, remoteAddress)) this.#serve(socket, remoteAddress, undefined)
      return
    }
    this.#arriving.add(socket)
    void this.#prepare(socket, remoteAddress, isProxied).finally(() => this.#arriving.delete(socket))
  }

  async #prepare(socket: Socket, ownAddress: string, isProxied: boolean): Promise<void> {
    let remoteAddress = ownAddress
    if (isProxied) {
      try {
        remoteAddress =
          (await readProxyHeader(socket, { clock: this.#options.clock, timeoutMs: PROXY_HEADER_TIMEOUT_MS })) ?? ownAddress
      } catch (error) {
        this.#counters.proxyFailed.add()
        this.#options.log.warn('proxy-header-failed', {
          listener: this.#listener.name,
          proxy: ownAddress,
          reason: reasonOf(error),
        })
        socket.destroy()
        return
      }
    }
    if (!this.#takePlace(socket, remoteAddress)) return
    if (this.#listener.security !== 'direct') {
      this.#serve(socket, remoteAddress, undefined)
      return
    }
    const secured = secure(socket, this.#handshake)
    try {
      await handshake(secured, this.#handshake)
    } catch (error) {
      this.#tlsFailed(remoteAddress, reasonOf(error))
      return
    }
    this.#serve(secured, remoteAddress, secured)
  }

  /** An address's own limit can only be asked for once a PROXY header has told the address. */
  #takePlace(socket: PlacedSocket, remoteAddress: string): boolean {
    // A reverse proxy on this machine brings everybody's connections.
    if (this.#listener.service.kind === 'http' && isLoopback(remoteAddress)) return true
    socket[place] = this.#admission.enterAddress(remoteAddress)
    if (socket[place] !== undefined) return true
    this.#refuse(socket, 'too many connections of one address', remoteAddress)
    return false
  }

  #serve(socket: Socket, remoteAddress: string, secured: TLSSocket | undefined): void {
    if (this.#isClosed) {
      socket.destroy()
      return
    }
    this.#counters.accepted.add()
    const { service } = this.#listener
    if (service.kind === 'http') {
      service.serve(socket, remoteAddress)
      return
    }
    const connection = new TcpConnection(socket, remoteAddress, secured, this.#tcp)
    connection.open(service.accept(connection))
  }

  #refuse(socket: Socket, reason: string, remoteAddress = socket.remoteAddress): void {
    this.#counters.refused.add()
    this.#options.log.debug('connection-refused', { listener: this.#listener.name, remoteAddress, reason })
    socket.destroy()
  }

  #tlsFailed(remoteAddress: string, reason: string): void {
    this.#counters.tlsFailed.add()
    this.#options.log.debug('tls-handshake-failed', { listener: this.#listener.name, remoteAddress, reason })
  }
}

const ignore = (): void => {}

const isAddressInfo = (address: AddressInfo | string | null): address is AddressInfo =>
  typeof address === 'object' && address !== null

const portOf = (address: AddressInfo | string | null): number => (isAddressInfo(address) ? address.port : 0)

const isMissingIpv6 = (address: string, error: unknown): boolean =>
  isIPv6(address) &&
  error instanceof Error &&
  'code' in error &&
  (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT')

/** The networks as something to look addresses up in; `undefined` when there are none. */
const blockListOf = (networks: readonly string[]): BlockList | undefined => {
  if (networks.length === 0) return undefined
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}
