/** Prepares a localpart or account name by the UsernameCaseMapped profile (RFC 8265 §3.3). */
export const usernameCaseMapped = (text: string): string | undefined =>
  /^[\x21-\x7e]+$/.test(text) ? text.toLowerCase() : undefined

/** Prepares a resourcepart or password by the OpaqueString profile (RFC 8265 §4.2). */
export const opaqueString = (text: string): string | undefined => (/^[\x20-\x7e]+$/.test(text) ? text : undefined)
