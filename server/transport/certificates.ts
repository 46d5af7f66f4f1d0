import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import { chmodSync, type FSWatcher, mkdirSync, readFileSync, renameSync, statSync, watch, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls'
import { domainToASCII } from 'node:url'
import type { Clock, Timer } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import { makeSelfSigned } from './self-signed.ts'
import { type CertificateSource, reasonOf } from './tls.ts'

/** Where a certificate comes from and what TLS may do with it. */
export interface CertificateOptions {
  readonly domain: string
  /** The server's data folder; a self-made certificate is kept below it. */
  readonly data: string
  /** PEM files; without them, the server makes a certificate for itself. */
  readonly files: { readonly certificate: string; readonly key: string } | undefined
  readonly minVersion: SecureVersion
  /** Groups for the key exchange, best first; none leaves the choice to Node. */
  readonly curves: readonly string[]
  readonly clock: Clock
  readonly log: Logger
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** Apple's systems take no longer life than this from an authority that a user added. */
const SELF_SIGNED_DAYS = 825
/** A self-made certificate is replaced this long before its end, so that those who trust it by hand have time. */
const RENEW_DAYS = 30
/** Certificate and key are two files: the second one follows within this. */
const SETTLE_MS = 500
/** Watching a folder can fail silently (network file systems, replaced folders); looking costs two stats. */
const LOOK_MS = MINUTE_MS
/** RFC 9325 §3.4: keys of session tickets change regularly; each new context draws its own. */
const TICKET_KEYS_MS = DAY_MS

/**
 * RFC 9325 §4.2: forward secrecy and authenticated encryption only. All are good, so the client's order counts:
 * a phone without AES instructions asks for ChaCha20.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** A certificate and its key, or their files. */
export type Pair = { readonly certificate: string; readonly key: string }

/** The server's certificate: read from files and again when they change, or made by the server itself. */
export class Certificates implements CertificateSource {
  /** The authority that clients may be told to trust; `undefined` when the certificate is the operator's. */
  readonly caPath: string | undefined
  readonly #options: CertificateOptions
  readonly #paths: Pair
  readonly #timers: Timer[]
  readonly #watchers: FSWatcher[]
  #pair: Pair
  #context: SecureContext
  #seen: string
  #settling: Timer | undefined

  /** Reads or makes the certificate; throws when the operator's files cannot be used. */
  constructor(options: CertificateOptions) {
    this.#options = options
    const folder = join(options.data, 'tls')
    this.caPath = options.files === undefined ? join(folder, 'ca.pem') : undefined
    this.#paths = options.files ?? { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
    if (options.files === undefined) this.#renewSelfSigned()
    this.#seen = fingerprint(this.#paths)
    this.#pair = readPair(this.#paths)
    this.#context = this.#newContext(this.#pair)
    this.#warn(this.#pair)
    this.#watchers = options.files === undefined ? [] : foldersOf(this.#paths).flatMap((each) => this.#watch(each))
    this.#timers = [
      options.clock.every(LOOK_MS, () => this.#look()),
      options.clock.every(TICKET_KEYS_MS, () => {
        this.#context = this.#newContext(this.#pair)
      }),
    ]
  }

  /** The files that it is read from. */
  get paths(): Pair {
    return this.#paths
  }

  secureContext(): SecureContext {
    return this.#context
  }

  /** Reads the files again; connections from now on get what they hold. A pair that cannot be used changes nothing and returns `false`. */
  reload(): boolean {
    const { clock, log } = this.#options
    this.#seen = fingerprint(this.#paths)
    try {
      const pair = readPair(this.#paths)
      const context = this.#newContext(pair)
      const certificate = new X509Certificate(pair.certificate)
      if (certificate.validToDate.getTime() <= clock.nowMs()) throw new Error(`the certificate expired on ${certificate.validTo}`)
      this.#context = context
      this.#pair = pair
      log.info('certificate-reloaded', { subject: certificate.subject, validTo: certificate.validTo })
      this.#warn(pair)
      return true
    } catch (error) {
      log.error('certificate-not-reloaded', {
        path: this.#paths.certificate,
        reason: reasonOf(error),
      })
      return false
    }
  }

  /** Stops looking at the files. */
  stop(): void {
    for (const watcher of this.#watchers) watcher.close()
    for (const timer of this.#timers) timer.cancel()
    this.#settling?.cancel()
  }

  #look(): void {
    if (this.#options.files === undefined) this.#renewSelfSigned()
    const now = fingerprint(this.#paths)
    if (now !== this.#seen) this.reload()
  }

  #newContext(pair: Pair): SecureContext {
    const { minVersion, curves } = this.#options
    return createSecureContext({
      cert: pair.certificate,
      key: pair.key,
      minVersion,
      maxVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      // RFC 7590 §3.1, RFC 9325 §3.5: no renegotiation; it would also change what channel binding binds to.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      sessionIdContext: 'waxwing',
      ...(curves.length === 0 ? {} : { ecdhCurve: curves.join(':') }),
    })
  }

  #warn(pair: Pair): void {
    const { domain, clock, log } = this.#options
    const certificate = new X509Certificate(pair.certificate)
    const { validTo } = certificate
    if (certificate.validToDate.getTime() <= clock.nowMs()) log.error('certificate-expired', { validTo })
    // RFC 6120 §13.7.2: clients compare the certificate with the domain of the account.
    if (!isFor(certificate, asciiOf(domain)))
      log.warn('certificate-names-other-domain', { domain, names: certificate.subjectAltName })
  }

  /** Looks at a folder, not at a file: certificates are replaced by renaming a new file or symbolic link into place. */
  #watch(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        this.#settling?.cancel()
        this.#settling = this.#options.clock.after(SETTLE_MS, () => this.#look())
      })
      return [watcher.on('error', () => watcher.close())]
    } catch {
      // The regular look remains.
      return []
    }
  }

  /** Makes a certificate where there is none that will do for the next weeks. */
  #renewSelfSigned(): void {
    const { domain, clock, log } = this.#options
    const nowMs = clock.nowMs()
    const caPath = this.caPath ?? ''
    if (isGood(this.#paths, caPath, asciiOf(domain), nowMs + RENEW_DAYS * DAY_MS)) return
    const made = makeSelfSigned({
      domain: asciiOf(domain),
      // A client whose clock is a little behind must not see a certificate from the future.
      notBeforeMs: nowMs - DAY_MS,
      notAfterMs: nowMs + SELF_SIGNED_DAYS * DAY_MS,
    })
    const folder = dirname(caPath)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    replaceFile(this.#paths.key, made.key)
    replaceFile(this.#paths.certificate, made.certificate)
    replaceFile(caPath, made.ca)
    log.info('certificate-made', { domain, ca: caPath })
  }
}

const asciiOf = (domain: string): string => domainToASCII(domain) || domain

const isFor = (certificate: X509Certificate, domain: string): boolean =>
  (isIP(domain) === 0 ? certificate.checkHost(domain) : certificate.checkIP(domain)) !== undefined

const readPair = (paths: Pair): Pair => ({
  certificate: readFileSync(paths.certificate, 'utf8'),
  key: readFileSync(paths.key, 'utf8'),
})

const foldersOf = (paths: Pair): string[] => [...new Set([dirname(paths.certificate), dirname(paths.key)])]

/** Changes whenever one of the files was replaced or written. */
const fingerprint = (paths: Pair): string => [paths.certificate, paths.key].map(stamp).join(' ')

const stamp = (path: string): string => {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? 'missing' : `${stats.ino}:${stats.mtimeMs}:${stats.size}`
}

/** Whether the self-made files belong together, name the domain and hold until then. */
const isGood = (paths: Pair, caPath: string, domain: string, untilMs: number): boolean => {
  try {
    const pair = readPair(paths)
    const certificate = new X509Certificate(pair.certificate)
    const ca = new X509Certificate(readFileSync(caPath, 'utf8'))
    return (
      certificate.validToDate.getTime() > untilMs &&
      certificate.checkIssued(ca) &&
      certificate.verify(ca.publicKey) &&
      certificate.checkPrivateKey(createPrivateKey(pair.key)) &&
      isFor(certificate, domain)
    )
  } catch {
    return false
  }
}

/** Puts a file in place as a whole, readable by the server's own user only. */
const replaceFile = (path: string, text: string): void => {
  const temporary = join(dirname(path), `.${basename(path)}.new`)
  writeFileSync(temporary, text, { mode: 0o600 })
  chmodSync(temporary, 0o600)
  renameSync(temporary, path)
}
