import type { BareJid } from '#stanzas/jid.ts'
import type { Invitation } from './invitations.ts'

/** What a visitor's browser runs on. */
export type Platform = 'Android' | 'iPhone and iPad' | 'Windows' | 'Mac' | 'Linux'

/** Clients that open invitation links, by platform. */
const CLIENTS: Readonly<Record<Platform, readonly (readonly [name: string, url: string])[]>> = {
  Android: [
    ['Conversations', 'https://conversations.im/'],
    ['Cheogram', 'https://cheogram.com/'],
  ],
  'iPhone and iPad': [
    ['Monal', 'https://monal-im.org/'],
    ['Siskin IM', 'https://siskin.im/'],
  ],
  Windows: [['Gajim', 'https://gajim.org/']],
  Mac: [
    ['Monal', 'https://monal-im.org/'],
    ['Gajim', 'https://gajim.org/'],
  ],
  Linux: [
    ['Dino', 'https://dino.im/'],
    ['Gajim', 'https://gajim.org/'],
  ],
}
const MORE_CLIENTS = 'https://xmpp.org/software/'

class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}
type Value = string | number | Html | undefined | readonly Html[]

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const render = (value: Value): string => {
  if (value === undefined) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(render).join('')
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
}
/** HTML in which every value is text, unless it is HTML itself. */
const html = (strings: TemplateStringsArray, ...values: readonly Value[]): Html =>
  new Html(strings.map((string, i) => string + render(values[i])).join(''))

const STYLE = `
:root { color-scheme: light dark; --text: #1c2024; --quiet: #565d66; --page: #f4f2ee; --card: #fff; --line: #8a8f98; --soft: #dddad3;
  --accent: #8a2f1d; --on-accent: #fff; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --text: #ecebe8; --quiet: #aeb2b8; --page: #16181b; --card: #212428; --line: #7d838c; --soft: #383d43;
    --accent: #ffb199; --on-accent: #35100a; --bad: #ff9d94 }
}
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--text); font: 1.0625rem/1.55 system-ui, sans-serif }
main { max-width: 34rem; margin: 0 auto; padding: clamp(1.25rem, 5vw, 2.5rem); background: var(--card); border-radius: 1rem;
  border: 1px solid var(--soft) }
h1 { margin: 0 0 .75rem; font-size: 1.65rem; line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere }
h2 { margin: 0 0 .5rem; font-size: 1.15rem }
h3 { margin: 0; font-size: 1rem }
p { margin: 0 0 1rem }
section { margin-top: 1.75rem; padding-top: 1.75rem; border-top: 1px solid var(--soft) }
a { color: var(--accent) }
.quiet { color: var(--quiet); font-size: .95rem }
.button { display: block; width: 100%; padding: .85rem 1rem; border: 0; border-radius: .6rem; background: var(--accent); color: var(--on-accent);
  font: inherit; font-weight: 600; text-align: center; text-decoration: none; cursor: pointer }
.button:hover { filter: brightness(1.08) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px }
label { display: block; margin-bottom: .3rem; font-weight: 600 }
.field { margin-bottom: 1.1rem }
.name { display: flex; align-items: center; gap: .5rem; flex-wrap: wrap }
input { flex: 1 1 10rem; width: 100%; min-width: 0; padding: .65rem .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card);
  color: inherit; font: inherit }
input[readonly] { background: var(--page) }
input[aria-invalid] { border-color: var(--bad); border-width: 2px }
.hint { margin: .3rem 0 0; color: var(--quiet); font-size: .9rem }
.bad { padding: .7rem .9rem; border-left: 4px solid var(--bad); border-radius: .3rem; background: var(--page); color: var(--bad); font-weight: 600 }
.apps { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .9rem 1.25rem; margin: 0 0 1rem; padding: 0; list-style: none }
.apps ul { margin: 0; padding: 0; list-style: none }
.apps li li a { display: inline-block; padding: .2rem 0 }
.yours { grid-column: 1 / -1; padding: .8rem 1rem; border-radius: .6rem; background: var(--page) }
.address { font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere }
`

const page = (nonce: string, title: string, content: Html): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style nonce="${nonce}">${new Html(STYLE)}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`.text

/** A page that says one thing. */
export const messagePage = ({
  nonce,
  title,
  text,
}: {
  readonly nonce: string
  readonly title: string
  readonly text: string
}): string => page(nonce, title, html`<h1>${title}</h1>\n<p>${text}</p>`)

const apps = (yours: Platform | undefined): Html => {
  const platforms = Object.entries(CLIENTS).sort(([a], [b]) => Number(b === yours) - Number(a === yours))
  const items = platforms.map(
    ([platform, clients]) => html`
<li${platform === yours ? html` class="yours"` : undefined}>
<h3>${platform}</h3>
<ul>${clients.map(([name, url]) => html`<li><a href="${url}" rel="noreferrer">${name}</a></li>`)}</ul>
</li>`,
  )
  return html`<ul class="apps">${items}
</ul>
<p class="quiet">There are <a href="${MORE_CLIENTS}" rel="noreferrer">many more</a>: every app that speaks XMPP works.</p>`
}

interface InvitationPage {
  readonly nonce: string
  readonly domain: string
  readonly invitation: Invitation
  readonly uri: string
  readonly platform: Platform | undefined
  readonly canRegister: boolean
  readonly minPasswordLength: number
  /** What was typed, and why it did not do. */
  readonly failed?: { readonly username: string; readonly reason: string } | undefined
}

/** Who invites to what, the link for the chat app, the apps, and the form to make an account. */
export const invitationPage = (facts: InvitationPage): string => {
  const { nonce, domain, invitation, uri, platform, canRegister, failed } = facts
  const { kind, inviter, allowsRegistration } = invitation
  const title = inviter === undefined ? `You are invited to ${domain}` : `${inviter} invites you to chat`
  const what =
    kind === 'account'
      ? html`<p>Make an account on <strong>${domain}</strong> and chat with everyone who uses XMPP, here or on any other server.</p>`
      : html`<p>Accept, and you are in each other’s contact list.${
          allowsRegistration ? html` No account yet? You can make one on <strong>${domain}</strong>.` : undefined
        }</p>`
  const form = canRegister ? registrationForm(facts) : undefined
  return page(
    nonce,
    title,
    html`<h1>${title}</h1>
${what}
${failed === undefined ? undefined : form}
${failed === undefined ? undefined : html`<section>`}
<p><a class="button" href="${uri}">Open in your chat app</a></p>
<p class="quiet">Nothing happens? Then you need an app first. Install one, come back, and press the button again.</p>
${failed === undefined ? undefined : html`</section>`}
<section aria-labelledby="apps">
<h2 id="apps">Apps</h2>
${apps(platform)}
</section>
${failed === undefined ? form : undefined}
<section>
<p class="quiet">The invitation is for one person and good until ${momentOf(invitation.expiresAtMs)}.
If you do not know who sent it, just close this page.</p>
</section>`,
  )
}

/** Such as `Sun, 29 Nov 2026 06:05 UTC`; without a script the page cannot know the reader's zone. */
const momentOf = (atMs: number): string => new Date(atMs).toUTCString().replace(/:\d\d GMT$/, ' UTC')

const registrationForm = ({ domain, invitation, minPasswordLength, failed }: InvitationPage): Html => {
  const fixed = invitation.localpart
  return html`<section aria-labelledby="register">
<h2 id="register">${invitation.kind === 'account' ? 'Make your account here' : 'Or make an account here'}</h2>
${failed === undefined ? undefined : html`<p class="bad" id="problem" role="alert">${failed.reason}</p>`}
<form method="post">
<div class="field">
<label for="username">Username</label>
<div class="name">
<input id="username" name="username" value="${fixed ?? failed?.username ?? ''}" required maxlength="64" autocomplete="username" autocapitalize="none"
 autocorrect="off" spellcheck="false"${fixed === undefined ? undefined : html` readonly`}${
   failed === undefined ? undefined : html` aria-describedby="problem" autofocus`
 }>
<span>@${domain}</span>
</div>
</div>
<div class="field">
<label for="password">Password</label>
<input id="password" name="password" type="password" required minlength="${minPasswordLength}" autocomplete="new-password"
 aria-describedby="password-hint">
<p class="hint" id="password-hint">At least ${minPasswordLength} characters. Nobody can send it to you again: keep it safe.</p>
</div>
<button class="button">Make the account</button>
</form>
</section>`
}

/** The account is there; what to do with it. */
export const welcomePage = ({
  nonce,
  account,
  inviter,
  platform,
}: {
  readonly nonce: string
  readonly account: BareJid
  readonly inviter: BareJid | undefined
  readonly platform: Platform | undefined
}): string =>
  page(
    nonce,
    'Your account is ready',
    html`<h1>Your account is ready</h1>
<p>Your address is</p>
<p class="address">${account}</p>
<p>Log in with it and your password in a chat app.${
      inviter === undefined ? undefined : html` <strong>${inviter}</strong> is in your contact list already.`
    }</p>
<section aria-labelledby="apps">
<h2 id="apps">Apps</h2>
${apps(platform)}
</section>`,
  )
