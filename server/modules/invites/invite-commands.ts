import { type Invite, OperationError } from '#server/base/operations.ts'
import { booleanOf, type DataForm, firstValueOf, formTypeField } from '#stanzas/data-form.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import type { BareJid } from '#stanzas/jid.ts'
import { badPayload, type Command, type Stage } from '../commands.ts'
import type { Inviter } from './inviter.ts'

/** Who may do what. */
export interface InvitePermissions {
  mayInviteContacts(account: BareJid): boolean
  mayInviteAccounts(account: BareJid): boolean
  /** Whether the contacts an account invites may make an account here. */
  mayBringGuests(account: BareJid): boolean
}

const ACCOUNT_FORM: DataForm = {
  type: 'form',
  title: 'Create account',
  instructions: 'Makes a link by which one person can make an account.',
  fields: [
    formTypeField('urn:xmpp:invite#create-account'),
    { var: 'username', type: 'text-single', label: 'Username', desc: 'Leave it empty to let the person choose.', values: [] },
    { var: 'roster-subscription', type: 'boolean', label: 'Become contacts', values: [] },
  ],
}

/** The commands of XEP-0401. */
export const inviteCommands = (inviter: Inviter, permissions: InvitePermissions): readonly Command[] => [
  {
    node: 'urn:xmpp:invite#invite',
    name: 'Invite user',
    isAllowed: (account) => permissions.mayInviteContacts(account),
    run: async ({ bare }) => completed(inviter.toContact(bare, permissions.mayBringGuests(bare))),
  },
  {
    node: 'urn:xmpp:invite#create-account',
    name: 'Create account',
    isAllowed: (account) => permissions.mayInviteAccounts(account),
    run: ({ bare }) => ({
      kind: 'form',
      form: ACCOUNT_FORM,
      isLast: true,
      submit(form) {
        const name = firstValueOf(form, 'username')?.trim()
        const contact = booleanOf(form, 'roster-subscription') === true ? bare : undefined
        return completed(inviter.toAccount(name === '' ? undefined : name, contact))
      },
    }),
  },
]

/** What is refused to the operator in words is refused to a client as its form. */
const completed = async (making: Promise<Invite>): Promise<Stage> => {
  try {
    return { kind: 'done', form: resultForm(await making) }
  } catch (error) {
    throw error instanceof OperationError ? badPayload(error.message) : error
  }
}

/** XEP-0401 §5.1 */
const resultForm = ({ uri, url, expiresAtMs }: Invite): DataForm => ({
  type: 'result',
  fields: [
    formTypeField('urn:xmpp:invite#invitation'),
    { var: 'uri', type: 'text-single', label: 'Link for clients', values: [uri] },
    ...(url === undefined
      ? []
      : [{ var: 'landing-url', type: 'text-single', label: 'Link for browsers', values: [url] } as const]),
    { var: 'expire', type: 'text-single', label: 'Good until', values: [formatDateTime(expiresAtMs)] },
  ],
})
