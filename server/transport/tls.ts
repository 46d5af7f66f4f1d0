import { createHash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '#server/base/clock.ts'
import type { TlsFacts } from '#server/stream/connection.ts'
import { signatureHash } from './signature-hash.ts'

/** Where the certificate of this moment comes from; asked anew for each handshake, so a reload needs no restart. */
export interface CertificateSource {
  secureContext(): SecureContext
}

/** What a TLS handshake of ours needs. */
export interface HandshakeOptions {
  readonly certificates: CertificateSource
  readonly clock: Clock
  readonly timeoutMs: number
  /** The application protocols to choose from (RFC 7301); none asks for none. */
  readonly alpn?: readonly string[]
}

/** The exporter label of RFC 9266 §4. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_BYTES = 32
const NO_CONTEXT = Buffer.alloc(0)

/** Puts the server side of TLS over a socket; bytes that wait unread in it count as the handshake's first. */
export const secure = (socket: Socket, options: HandshakeOptions): TLSSocket => {
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: options.certificates.secureContext(),
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
  })
  // A failure is told to whoever waits for the handshake and then as `close`; without a listener it would end the process.
  return secured.on('error', ignore)
}

/** Waits until the handshake is done; when it fails or takes too long, cuts the socket and rejects with the reason. */
export const handshake = (socket: TLSSocket, { clock, timeoutMs }: HandshakeOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => socket.destroy(new Error('handshake timed out')))
    const settle = (): void => {
      timer.cancel()
      socket.off('secure', onSecure).off('error', onError).off('close', onClose)
    }
    const onSecure = (): void => {
      settle()
      resolve()
    }
    const onError = (error: Error): void => {
      settle()
      socket.destroy()
      reject(error)
    }
    const onClose = (): void => {
      settle()
      reject(new Error('closed during handshake'))
    }
    socket.on('secure', onSecure).on('error', onError).on('close', onClose)
  })

/** Why a socket failed, in a word for the log: the code where there is one. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}

/** What TLS proved on this socket, computed when asked: most logins bind to no channel. */
export class SocketTlsFacts implements TlsFacts {
  readonly #socket: TLSSocket

  constructor(socket: TLSSocket) {
    this.#socket = socket
  }

  get protocol(): string {
    return this.#socket.getProtocol() ?? ''
  }

  exporter(): Buffer {
    return this.#socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, NO_CONTEXT)
  }

  serverEndPoint(): Buffer | undefined {
    const certificate = this.#socket.getX509Certificate()
    return certificate === undefined ? undefined : serverEndPoint(certificate)
  }
}

/** The `tls-server-end-point` binding of a certificate; `undefined` where RFC 5929 §4.1 leaves it open. */
export const serverEndPoint = (certificate: X509Certificate): Buffer | undefined => {
  const hash = signatureHash(certificate.raw)
  if (hash === undefined) return undefined
  // RFC 5929 §4.1: a certificate signed with MD5 or SHA-1 is hashed with SHA-256.
  const digest = hash === 'md5' || hash === 'sha1' ? 'sha256' : hash
  return createHash(digest).update(certificate.raw).digest()
}

const ignore = (): void => {}
