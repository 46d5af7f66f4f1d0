import { isUtf8 } from 'node:buffer'

/** What a server may say is wrong with a SCRAM message (RFC 5802 §7, server-error-value). */
export type ScramError =
  | 'invalid-encoding'
  | 'extensions-not-supported'
  | 'channel-bindings-dont-match'
  | 'server-does-support-channel-binding'
  | 'channel-binding-not-supported'
  | 'unsupported-channel-binding-type'
  | 'invalid-username-encoding'
  | 'other-error'

/** A client's first message (RFC 5802 §7), parsed. */
export interface ClientFirst {
  readonly gs2Header: string
  /** `n`: cannot bind. `y`: could, but thinks the server cannot. `p`: binds to the channel of this type. */
  readonly flag: 'n' | 'y' | 'p'
  readonly bindingType: string
  readonly authzid: string | undefined
  readonly username: string
  readonly nonce: string
  /** What goes into the AuthMessage. */
  readonly bare: string
}

/** A client's last message (RFC 5802 §7), parsed. */
export interface ClientFinal {
  readonly binding: Buffer
  readonly nonce: string
  readonly proof: Buffer
  /** What goes into the AuthMessage. */
  readonly withoutProof: string
}

const GS2_HEADER = /^(?:([ny])|p=([A-Za-z0-9.-]+)),(?:a=([^,\0]+))?,/
// Letters that SCRAM has given a meaning cannot be extensions; a second n= or r= would be read differently by others.
const EXTENSIONS = '(?:,[A-Zbdf-hj-loqtuw-z]=[^,\\0]+)*'
const NONCE = '[\\x21-\\x2b\\x2d-\\x7e]+'
// RFC 4648 §3.5: with the spare bits zero, so that nothing has two spellings.
const BASE64 = '(?=[^,])(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?'
const FIRST_BARE = new RegExp(`^n=([^,\\0]+),r=(${NONCE})${EXTENSIONS}$`)
const FINAL = new RegExp(`^(c=(${BASE64}),r=(${NONCE})${EXTENSIONS}),p=(${BASE64})$`)
// RFC 5802 §5.1: an extension that must be understood is none of ours, wherever it stands.
const MANDATORY_EXTENSION = /(?:^|,)m=/

/** Undoes `=2C` and `=3D` in a name (RFC 5802 §5.1); `undefined` when an equals sign means neither. */
const unescapeName = (name: string): string | undefined =>
  /=(?!2C|3D)/.test(name) ? undefined : name.replace(/=(2C|3D)/g, (_, code) => (code === '2C' ? ',' : '='))

/** Parses client-first-message, or says what is wrong with it. */
export const parseClientFirst = (message: Buffer): ClientFirst | ScramError => {
  if (!isUtf8(message)) return 'invalid-encoding'
  const text = message.toString()
  const header = GS2_HEADER.exec(text)
  if (header === null) return 'other-error'
  const [gs2Header, withoutBinding, bindingType = '', escapedAuthzid] = header
  const bare = text.slice(gs2Header.length)
  if (MANDATORY_EXTENSION.test(bare)) return 'extensions-not-supported'
  const parts = FIRST_BARE.exec(bare)
  if (parts === null) return 'other-error'
  const [, escapedName = '', nonce = ''] = parts
  const username = unescapeName(escapedName)
  const authzid = escapedAuthzid === undefined ? undefined : unescapeName(escapedAuthzid)
  if (username === undefined || (authzid === undefined && escapedAuthzid !== undefined)) return 'invalid-username-encoding'
  const flag = withoutBinding === 'n' || withoutBinding === 'y' ? withoutBinding : 'p'
  return { gs2Header, flag, bindingType, authzid, username, nonce, bare }
}

/** Parses client-final-message, or says what is wrong with it. */
export const parseClientFinal = (message: Buffer): ClientFinal | ScramError => {
  if (!isUtf8(message)) return 'invalid-encoding'
  const text = message.toString()
  if (MANDATORY_EXTENSION.test(text)) return 'extensions-not-supported'
  const parts = FINAL.exec(text)
  if (parts === null) return 'other-error'
  const [, withoutProof = '', binding = '', nonce = '', proof = ''] = parts
  return { binding: Buffer.from(binding, 'base64'), nonce, proof: Buffer.from(proof, 'base64'), withoutProof }
}
