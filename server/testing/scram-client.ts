import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import type { SaslExchange, SaslOutcome } from '#server/stream/sasl/mechanism.ts'

const pbkdf2Async = promisify(pbkdf2)
const HASHES = { 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-512': 'sha512' } as const
const LENGTHS = { sha1: 20, sha256: 32, sha512: 64 } as const

/** What a client brings to a SCRAM exchange. */
export interface ScramClientOptions {
  /** As advertised: `SCRAM-SHA-256`, `SCRAM-SHA-1-PLUS` … */
  readonly mechanism: string
  readonly username: string
  readonly password: string
  readonly authzid?: string
  readonly nonce?: string
  /** What a client that does not bind says of itself: `n`, the default, that it cannot; `y` that it thinks the server cannot. */
  readonly flag?: 'n' | 'y'
  /** The channel binding of a -PLUS mechanism. */
  readonly binding?: { readonly type: string; readonly data: Buffer }
  /** Attributes to put at the end of both messages, such as `x=1`. */
  readonly extensions?: string
  /** What the client saw advertised; it then insists on the server's hash of that (XEP-0474). */
  readonly advertised?: { readonly mechanisms: readonly string[]; readonly bindings: readonly string[] }
}

/** The client's side of SCRAM (RFC 5802), written apart from the server's so that each can prove the other. */
export class ScramClient {
  readonly #options: ScramClientOptions
  readonly #hash: 'sha1' | 'sha256' | 'sha512'
  readonly #nonce: string
  readonly #header: string
  #expectedVerifier: string | undefined

  constructor(options: ScramClientOptions) {
    const name = /^SCRAM-(SHA-1|SHA-256|SHA-512)(?:-PLUS)?$/.exec(options.mechanism)?.[1]
    if (name !== 'SHA-1' && name !== 'SHA-256' && name !== 'SHA-512')
      throw new Error(`not a SCRAM mechanism: ${options.mechanism}`)
    this.#options = options
    this.#hash = HASHES[name]
    this.#nonce = options.nonce ?? randomBytes(15).toString('base64')
    const flag = options.binding === undefined ? (options.flag ?? 'n') : `p=${options.binding.type}`
    this.#header = `${flag},${options.authzid === undefined ? '' : `a=${escapeName(options.authzid)}`},`
  }

  /** client-first-message: the initial response. */
  first(): Buffer {
    return Buffer.from(this.#header + this.#bare())
  }

  /** client-final-message, the answer to the server's challenge; throws when the challenge is not to be trusted. */
  async answer(challenge: Buffer): Promise<Buffer> {
    const serverFirst = challenge.toString()
    const attributes = parseAttributes(serverFirst)
    const nonce = attributes.get('r') ?? ''
    const iterations = Number(attributes.get('i'))
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce) throw new Error('the server did not add to the nonce')
    if (!(iterations >= 4096)) throw new Error(`too few iterations: ${iterations}`)
    this.#checkAdvertised(attributes.get('h'))
    const bound = Buffer.concat([Buffer.from(this.#header), this.#options.binding?.data ?? Buffer.alloc(0)])
    const withoutProof = `c=${bound.toString('base64')},r=${nonce}${this.#extensions()}`
    const authMessage = `${this.#bare()},${serverFirst},${withoutProof}`
    const salt = Buffer.from(attributes.get('s') ?? '', 'base64')
    const salted = await pbkdf2Async(this.#options.password, salt, iterations, LENGTHS[this.#hash], this.#hash)
    const clientKey = this.#hmac(salted, 'Client Key')
    const signature = this.#hmac(createHash(this.#hash).update(clientKey).digest(), authMessage)
    const proof = clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))
    this.#expectedVerifier = `v=${this.#hmac(this.#hmac(salted, 'Server Key'), authMessage).toString('base64')}`
    return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`)
  }

  /** Whether server-final-message proves that the server knows the password too. */
  verifies(serverFinal: Buffer | undefined): boolean {
    return this.#expectedVerifier !== undefined && serverFinal?.toString() === this.#expectedVerifier
  }

  #bare(): string {
    return `n=${escapeName(this.#options.username)},r=${this.#nonce}${this.#extensions()}`
  }

  #extensions(): string {
    return this.#options.extensions === undefined ? '' : `,${this.#options.extensions}`
  }

  #hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest()
  }

  #checkAdvertised(hash: string | undefined): void {
    const { advertised } = this.#options
    if (advertised === undefined) return
    const lists = advertised.bindings.length === 0 ? [advertised.mechanisms] : [advertised.mechanisms, advertised.bindings]
    const text = lists.map((list) => [...list].sort().join('\x1e')).join('\x1f')
    if (hash !== createHash(this.#hash).update(text).digest('base64'))
      throw new Error('what was advertised has been changed on the way')
  }
}

/** What came of an exchange: the last outcome, the challenge if there was one, and whether the server proved itself. */
export interface ScramRun {
  readonly outcome: SaslOutcome
  readonly challenge: string | undefined
  readonly isServerProved: boolean
}

/** Drives an exchange to its end as a client with these options. */
export const runScram = async (exchange: SaslExchange, options: ScramClientOptions): Promise<ScramRun> => {
  const client = new ScramClient(options)
  const first = await exchange.step(client.first())
  if (first.kind !== 'challenge') return { outcome: first, challenge: undefined, isServerProved: false }
  const outcome = await exchange.step(await client.answer(first.data))
  const isServerProved = outcome.kind === 'success' && client.verifies(outcome.data)
  return { outcome, challenge: first.data.toString(), isServerProved }
}

const escapeName = (name: string): string => name.replaceAll('=', '=3D').replaceAll(',', '=2C')

const parseAttributes = (message: string): ReadonlyMap<string, string> =>
  new Map(message.split(',').map((attribute) => [attribute.slice(0, 1), attribute.slice(2)]))
