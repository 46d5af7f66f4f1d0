import type { Retention } from '#server/core/ledger.ts'
import { type DataForm, type FieldOption, firstValueOf, formTypeField } from '#stanzas/data-form.ts'
import { badPayload, type Command } from '../commands.ts'
import type { AllSettings, Keep } from './settings.ts'

/** XEP-0441 §2.2: the well-known node of what goes beyond preferences. */
const NODE = 'urn:xmpp:mam#configure'
const DAY_MS = 86_400_000

interface Offer {
  readonly value: string
  readonly label: string
  /** `undefined`: as the server does for everybody. */
  readonly keep: Keep | undefined
}

const OFFERS: readonly Offer[] = [
  { value: 'default', label: 'As this server does for everybody', keep: undefined },
  { value: 'until-delivered', label: 'Until one of my devices has them', keep: 'until-delivered' },
  { value: 'day', label: 'For a day', keep: DAY_MS },
  { value: 'week', label: 'For a week', keep: 7 * DAY_MS },
  { value: 'month', label: 'For thirty days', keep: 30 * DAY_MS },
  { value: 'year', label: 'For a year', keep: 365 * DAY_MS },
  { value: 'forever', label: 'For ever', keep: 'forever' },
]

const asRetention = (keep: Keep): Retention => (keep === 'forever' ? Number.POSITIVE_INFINITY : keep)
const lengthOf = (retention: Retention): number => (retention === 'until-delivered' ? 0 : retention)

/** What becomes of an account's wish where the server keeps nothing for longer than it says (DESIGN P6). */
export const capped = (keep: Keep, host: Retention): Retention => {
  const wanted = asRetention(keep)
  return lengthOf(wanted) > lengthOf(host) ? host : wanted
}

const formFor = (offers: readonly Offer[], now: Keep | undefined): DataForm => ({
  type: 'form',
  title: 'How long my messages are kept',
  instructions: 'Messages that none of your devices has received are kept in any case.',
  fields: [
    formTypeField(NODE),
    {
      var: 'keep',
      type: 'list-single',
      label: 'Keep messages',
      isRequired: true,
      values: [offers.find(({ keep }) => keep === now)?.value ?? 'default'],
      options: offers.map(({ value, label }): FieldOption => ({ value, label })),
    },
  ],
})

/** Lets an account say how long its messages are kept; for longer than the server does it cannot. */
export const keepCommand = (settings: AllSettings, host: Retention): Command => {
  const offers = OFFERS.filter(({ keep }) => keep === undefined || lengthOf(asRetention(keep)) <= lengthOf(host))
  return {
    node: NODE,
    name: 'How long my messages are kept',
    isAllowed: () => true,
    run: async ({ bare }) => ({
      kind: 'form',
      form: formFor(offers, (await settings.of(bare)).keep),
      isLast: true,
      async submit(form) {
        const chosen = offers.find(({ value }) => value === firstValueOf(form, 'keep'))
        if (chosen === undefined) throw badPayload('Choose one of the times that are offered.')
        if (chosen.keep === undefined) await settings.drop(bare, 'keep')
        else await settings.put(bare, { kind: 'keep', keep: chosen.keep })
        return {
          kind: 'done',
          note: { type: 'info', text: 'It holds from now on; older messages are removed within some hours.' },
        }
      },
    }),
  }
}
