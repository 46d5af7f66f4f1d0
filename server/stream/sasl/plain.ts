import { isUtf8 } from 'node:buffer'
import { accountJid } from '#server/core/accounts.ts'
import type { BareJid } from '#stanzas/jid.ts'
import {
  failure,
  isOwnIdentity,
  MAX_MESSAGE_BYTES,
  type Mechanism,
  type SaslEnvironment,
  type SaslExchange,
  type SaslOutcome,
} from './exchange.ts'

/** PLAIN (RFC 4616): the password itself, so under TLS only unless the operator says otherwise (RFC 6120 §13.9.4). */
export const plain: Mechanism = {
  name: 'PLAIN',
  isOffered: ({ tls, allowPlainWithoutTls }) => tls !== undefined || allowPlainWithoutTls,
  start: (environment) => new PlainExchange(environment),
}

class PlainExchange implements SaslExchange {
  readonly #environment: SaslEnvironment
  #isOver = false
  #claimed: BareJid | undefined

  constructor(environment: SaslEnvironment) {
    this.#environment = environment
  }

  get claimed(): BareJid | undefined {
    return this.#claimed
  }

  step(response: Buffer): SaslOutcome | Promise<SaslOutcome> {
    const message = this.#isOver ? undefined : parseMessage(response)
    this.#isOver = true
    if (message === undefined) return failure('malformed-request')
    const account = accountJid(message.authcid, this.#environment.domain)
    if (account === undefined) return failure('not-authorized')
    this.#claimed = account
    if (!isOwnIdentity(message.authzid, account, this.#environment.from)) return failure('invalid-authzid')
    if (!this.#admits(account)) return failure('temporary-auth-failure')
    return this.#verify(account, message.password)
  }

  async #verify(account: BareJid, password: string): Promise<SaslOutcome> {
    const verdict = await this.#environment.accounts.verifyPassword(account, password)
    // Others may have failed while this one waited for its turn.
    if (!this.#admits(account)) return failure('temporary-auth-failure')
    switch (verdict.kind) {
      case 'right':
        return { kind: 'success', account, data: undefined }
      case 'wrong':
        return failure('not-authorized')
      case 'disabled':
        return failure('account-disabled')
      case 'busy':
        return failure('temporary-auth-failure')
    }
  }

  #admits(account: BareJid): boolean {
    return this.#environment.admits?.(account) ?? true
  }
}

/** RFC 4616 §2: [authzid] NUL authcid NUL passwd, where the last two are not empty. */
const parseMessage = (
  message: Buffer,
): { readonly authzid: string | undefined; readonly authcid: string; readonly password: string } | undefined => {
  if (message.length > MAX_MESSAGE_BYTES || !isUtf8(message)) return undefined
  const [authzid, authcid, password, ...more] = message.toString().split('\0')
  if (!authcid || !password || more.length > 0) return undefined
  return { authzid: authzid === '' ? undefined : authzid, authcid, password }
}
