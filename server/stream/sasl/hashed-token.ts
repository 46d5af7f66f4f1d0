import { randomOctets } from '#server/base/random.ts'
import { accountJid } from '#server/core/accounts.ts'
import { sameBytes } from '#server/core/credentials.ts'
import { type Device, Devices, type Token } from '#server/core/devices.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Account } from '#storage/shapes.ts'
import { type BindingType, bindingData } from './channel-binding.ts'
import {
  failure,
  isOwnIdentity,
  MAX_MESSAGE_BYTES,
  type Mechanism,
  type SaslEnvironment,
  type SaslExchange,
  type SaslOutcome,
} from './exchange.ts'
import { shortHmac } from './short-hmac.ts'

/** What is bound to, by the end of the mechanism's name; `undefined` stands for nothing. */
const BINDINGS: readonly (readonly [suffix: string, type: BindingType | undefined])[] = [
  ['EXPR', 'tls-exporter'],
  ['ENDP', 'tls-server-end-point'],
  ['NONE', undefined],
]
const HASH_BYTES = 32
const NOTHING = Buffer.alloc(0)
/** In place of a token that is not there, so that the time does not tell. */
const DECOY = randomOctets(HASH_BYTES).toString('base64url')

/** One message each way: the client proves that it has a token, and the server that it knows it (draft-schmaus-kitten-sasl-ht). */
const hashedToken = (suffix: string, type: BindingType | undefined): Mechanism => ({
  name: `HT-SHA-256-${suffix}`,
  isOffered: ({ tls }) => type === undefined || (tls !== undefined && bindingData(tls, type) !== undefined),
  start: (environment) => new HashedTokenExchange(environment, `HT-SHA-256-${suffix}`, type),
})

/** The mechanisms for tokens (XEP-0484 §3.1), those that bind to the channel first. */
export const tokenMechanisms: readonly Mechanism[] = BINDINGS.map(([suffix, type]) => hashedToken(suffix, type))

/** Whether a mechanism for tokens binds to the channel. */
export const isBinding = ({ name }: Mechanism): boolean => name !== UNBOUND

/** The one that does not. */
export const UNBOUND = 'HT-SHA-256-NONE'

interface Message {
  readonly account: BareJid
  readonly device: string
  readonly proof: Buffer
}

class HashedTokenExchange implements SaslExchange {
  readonly #environment: SaslEnvironment
  readonly #name: string
  readonly #type: BindingType | undefined
  #isOver = false
  #claimed: BareJid | undefined

  constructor(environment: SaslEnvironment, name: string, type: BindingType | undefined) {
    this.#environment = environment
    this.#name = name
    this.#type = type
  }

  get claimed(): BareJid | undefined {
    return this.#claimed
  }

  step(response: Buffer): SaslOutcome | Promise<SaslOutcome> {
    const { domain, from, fast, accounts } = this.#environment
    const parts = this.#isOver ? undefined : parseMessage(response)
    this.#isOver = true
    if (parts === undefined || fast === undefined) return failure('malformed-request')
    const account = accountJid(parts.authcid, domain)
    if (account === undefined) return failure('not-authorized')
    this.#claimed = account
    if (!isOwnIdentity(undefined, account, from)) return failure('invalid-authzid')
    if (!this.#admits(account)) return failure('temporary-auth-failure')
    const id = Devices.idOf(account, fast.clientId)
    const message = { account, device: id, proof: parts.proof }
    const read = accounts.get(account)
    if (!(read instanceof Promise)) return this.#verify(message)
    // Both are read at once.
    const device = fast.devices.look(account, id, () => undefined)
    return Promise.all([read, device]).then(() => this.#verify(message))
  }

  #verify(message: Message): SaslOutcome | Promise<SaslOutcome> {
    const { fast, accounts } = this.#environment
    if (fast === undefined) return failure('malformed-request')
    return fast.devices.look(message.account, message.device, (device) => {
      const account = accounts.get(message.account)
      return account instanceof Promise
        ? account.then(() => this.#verify(message))
        : this.#conclude(message, fast.devices, device, account)
    })
  }

  /** XEP-0484 §4.2: a token that is not trusted, for whatever reason, has expired; with an account that does not exist it is the same. */
  #conclude(
    { account: jid, device: id, proof }: Message,
    devices: Devices,
    device: Device | undefined,
    account: Account | undefined,
  ): SaslOutcome {
    const { tls, fast } = this.#environment
    const binding = this.#type === undefined || tls === undefined ? NOTHING : (bindingData(tls, this.#type) ?? NOTHING)
    // Many exchanges may have begun before the first of them failed.
    if (!this.#admits(jid)) return failure('temporary-auth-failure')
    const token = proved(device, binding, proof)
    if (token === undefined || account === undefined) return failure('credentials-expired')
    if (!devices.isGood(token, account, { mechanism: this.#name, count: fast?.count })) return failure('credentials-expired')
    if (account.isDisabled) return failure('account-disabled')
    return { kind: 'success', account: jid, data: shortHmac(token.secret, 'Responder', binding), token, device: id }
  }

  #admits(account: BareJid): boolean {
    return this.#environment.admits?.(account) ?? true
  }
}

/** The token that the proof was made with. One is always tried. */
const proved = (device: Device | undefined, binding: Buffer, proof: Buffer): Token | undefined => {
  const tokens = [device?.next, device?.current].filter((token) => token !== undefined)
  if (tokens.length === 0) shortHmac(DECOY, 'Initiator', binding)
  return tokens.find(({ secret }) => sameBytes(shortHmac(secret, 'Initiator', binding), proof))
}

/** authcid NUL initiator-hashed-token. */
const parseMessage = (message: Buffer): { readonly authcid: string; readonly proof: Buffer } | undefined => {
  const end = message.indexOf(0)
  if (message.length > MAX_MESSAGE_BYTES || end < 1 || message.length - end - 1 !== HASH_BYTES) return undefined
  return { authcid: message.toString('utf8', 0, end), proof: message.subarray(end + 1) }
}
