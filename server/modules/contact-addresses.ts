import { list, text } from '#server/base/schema.ts'
import { defineModule } from '#server/core/module.ts'
import { formTypeField } from '#stanzas/data-form.ts'
import { disco } from './disco.ts'

/** XEP-0157 §7.1: in the order of the registry. */
const KINDS = ['abuse', 'admin', 'feedback', 'sales', 'security', 'status', 'support'] as const

const URI = {
  accepts: 'an address such as mailto:xmpp@example.org, xmpp:admin@example.org or https://example.org/help',
  test: (written: string) => URL.canParse(written),
}

const addresses = (purpose: string) =>
  list(text({ default: '', doc: '', rule: URI }), { default: [], doc: `Whom to tell ${purpose}.` })

/** Tells everyone whom to write to about the server. */
export const contactAddresses = defineModule({
  name: 'contact-addresses',
  summary: 'Tells everyone whom to write to about the server.',
  xeps: { 'XEP-0157': '1.1.1' },
  config: {
    abuse: addresses('of abuse'),
    admin: addresses('what the administrators should know'),
    feedback: addresses('what could be better'),
    sales: addresses('that one wants to buy something'),
    security: addresses('of security problems'),
    status: list(text({ default: '', doc: '', rule: URI }), { default: [], doc: 'Where to see whether the server works.' }),
    support: addresses('that one needs help'),
  },
  needs: { disco },

  start({ config, needs }) {
    const fields = KINDS.filter((kind) => config[kind].length > 0).map((kind) => ({
      var: `${kind}-addresses`,
      values: config[kind],
    }))
    if (fields.length > 0)
      needs.disco.addForm({ type: 'result', fields: [formTypeField('http://jabber.org/network/serverinfo'), ...fields] })
    return {}
  },
})
