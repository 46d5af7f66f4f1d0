import { newId } from '#server/base/random.ts'
import type { HttpRequest, HttpResponse, HttpRoute } from '#server/core/http-route.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'
import type { Invitation } from './invitations.ts'
import { invitationPage, messagePage, type Platform, welcomePage } from './pages.ts'

/** What the page needs of invitations and registration. */
export interface LandingPageOptions {
  readonly domain: string
  readonly minPasswordLength: number
  uriOf(invitation: Invitation): string
  /** The invitation of a token that can still be used; `later` when this address has asked for too many that cannot. */
  find(token: string, address: string): Promise<Invitation | undefined | 'later'>
  /** Makes the account; refuses with a `StanzaError` whose text says why. */
  register(
    invitation: Invitation,
    wanted: { readonly username: string; readonly password: string; readonly remoteAddress: string },
  ): Promise<BareJid>
}

/** A name and a password, percent-encoded. */
const MAX_FORM_BYTES = 16_384

/** The page behind an invitation's link (XEP-0379 §3.3, XEP-0401 §5.2). */
export const landingPage = (options: LandingPageOptions): readonly HttpRoute[] => {
  const { domain, minPasswordLength } = options

  const show = (
    response: HttpResponse,
    request: HttpRequest,
    invitation: Invitation,
    status = 200,
    failed?: { readonly username: string; readonly reason: string },
  ): Promise<void> =>
    send(response, status, (nonce) =>
      invitationPage({
        nonce,
        domain,
        invitation,
        uri: options.uriOf(invitation),
        platform: platformOf(request),
        canRegister: invitation.allowsRegistration && isPrivate(request),
        minPasswordLength,
        failed,
      }),
    )

  const withInvitation = async (
    request: HttpRequest,
    response: HttpResponse,
    use: (invitation: Invitation) => Promise<void>,
  ): Promise<void> => {
    const found = await options.find(request.rest, request.remoteAddress)
    if (found === 'later') return sendMessage(response, 429, 'Too many tries', 'Come back in a minute.')
    if (found === undefined)
      return sendMessage(
        response,
        404,
        'This invitation is no longer good',
        'It has been used, or its time is over. Ask whoever sent it for a new one.',
      )
    return use(found)
  }
  const sendMessage = (response: HttpResponse, status: number, title: string, text: string): Promise<void> =>
    send(response, status, (nonce) => messagePage({ nonce, title, text }))

  const register = async (request: HttpRequest, response: HttpResponse, invitation: Invitation): Promise<void> => {
    if (!invitation.allowsRegistration || !isPrivate(request))
      return sendMessage(response, 403, 'No account can be made here', 'Open the invitation in your chat app instead.')
    const form = new URLSearchParams((await request.body()).toString())
    const username = (form.get('username') ?? '').trim()
    const { remoteAddress } = request
    try {
      const account = await options.register(invitation, { username, password: form.get('password') ?? '', remoteAddress })
      const { inviter } = invitation
      return await send(response, 200, (nonce) => welcomePage({ nonce, account, inviter, platform: platformOf(request) }))
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error
      const reason = error.text ?? 'This did not work.'
      return show(response, request, invitation, STATUS[error.condition] ?? 422, { username, reason })
    }
  }

  return [
    {
      method: 'GET',
      path: '/invite/*',
      handle: (request, response) => withInvitation(request, response, (found) => show(response, request, found)),
    },
    {
      method: 'POST',
      path: '/invite/*',
      maxBodyBytes: MAX_FORM_BYTES,
      handle: (request, response) => withInvitation(request, response, (found) => register(request, response, found)),
    },
  ]
}

const STATUS: Readonly<Record<string, number>> = { conflict: 409, 'resource-constraint': 429, 'not-allowed': 410 }

/**
 * Whether a password may be typed here: over TLS, on the machine itself, or behind a proxy that says it has TLS. Whoever lies about that harms only
 * themselves; browsers send no such header.
 */
const isPrivate = ({ secure, remoteAddress, headers }: HttpRequest): boolean =>
  secure || /^(127\.|::1$|::ffff:127\.)/.test(remoteAddress) || headers['x-forwarded-proto'] === 'https'

const PLATFORMS: readonly (readonly [RegExp, Platform])[] = [
  [/Android/, 'Android'],
  [/iPhone|iPad|iPod/, 'iPhone and iPad'],
  [/Windows/, 'Windows'],
  [/Macintosh/, 'Mac'],
  [/Linux|X11|BSD/, 'Linux'],
]
const platformOf = ({ headers }: HttpRequest): Platform | undefined => {
  const agent = String(headers['user-agent'] ?? '')
  return PLATFORMS.find(([pattern]) => pattern.test(agent))?.[1]
}

const send = (response: HttpResponse, status: number, page: (nonce: string) => string): Promise<void> => {
  const nonce = newId()
  return response.send(
    status,
    {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': `default-src 'none'; style-src 'nonce-${nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
      // The address of the page is the secret: nothing keeps it or passes it on.
      'Cache-Control': 'no-store',
      'Referrer-Policy': 'no-referrer',
      'X-Robots-Tag': 'noindex, nofollow',
    },
    page(nonce),
  )
}
