/** Prepares a domainpart (RFC 7622 §3.2). */
export const prepareDomain = (text: string): string | undefined => {
  const domain = text.toLowerCase().replace(/\.$/, '')
  return /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/.test(domain) ? domain : undefined
}
