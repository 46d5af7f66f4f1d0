import type { Address } from '#stanzas/jid.ts'
import type { Invitation } from './invitations.ts'

/** RFC 5122 §2.7.2: what is not allowed as it stands is percent-encoded UTF-8. */
const address = (localpart: string, domainpart: string): string =>
  localpart === '' ? encodeURI(domainpart) : `${encodeURIComponent(localpart)}@${encodeURI(domainpart)}`

/** The link that clients open (XEP-0379 §3.2, XEP-0445 §2). */
export const invitationUri = ({ kind, inviter, localpart, token, allowsRegistration }: Invitation, domain: Address): string => {
  if (kind === 'account') return `xmpp:${address(localpart ?? '', domain.domainpart)}?register;preauth=${token}`
  const [name = ''] = (inviter ?? '').split('@')
  // XEP-0401 §5.1: only who may make an account here is told so.
  return `xmpp:${address(name, domain.domainpart)}?roster;preauth=${token}${allowsRegistration ? ';ibr=y' : ''}`
}
