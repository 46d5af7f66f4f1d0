import { type Client, clientsOf } from '#server/core/clients.ts'
import { defineModule, onGet, onSet } from '#server/core/module.ts'
import { formatDateTime } from '#stanzas/datetime.ts'
import { type Element, el } from '#stanzas/element.ts'
import { StanzaError } from '#stanzas/stanza-error.ts'

const NS_CAM = 'urn:xmpp:cam:0'

/** Shows people which clients have access to their account, and lets them take it back. */
export const devices = defineModule({
  name: 'devices',
  summary: 'Shows people which clients have access to their account, and lets them take it back.',
  xeps: { 'XEP-0494': '0.1.0' },
  features: { account: [NS_CAM] },

  start({ devices, sessions, clock }) {
    return {
      iq: [
        onGet(NS_CAM, 'list', 'own', async ({ to }) => {
          const clients = await clientsOf(to, { devices, sessions, nowMs: clock.nowMs() })
          return el(NS_CAM, 'clients', {}, ...clients.map(clientElement))
        }),
        onSet(NS_CAM, 'revoke', 'own', async ({ to, payload }) => {
          const { id } = payload.attrs
          if (id === undefined || id === '') throw new StanzaError('bad-request')
          const clients = await clientsOf(to, { devices, sessions, nowMs: clock.nowMs() })
          const client = clients.find((each) => each.id === id)
          if (client === undefined) throw new StanzaError('item-not-found')
          if (client.isNamed) await devices.revoke(to, id)
          // XEP-0494 §3.2: nothing else keeps it from coming back.
          if (client.knowsPassword)
            throw new StanzaError('service-unavailable', {
              text: client.isNamed ? 'it is logged out, and knows the password' : 'it knows the password',
              extra: el(NS_CAM, 'password-reset-required'),
            })
          return undefined
        }),
      ],
    }
  },
})

const clientElement = (client: Client): Element =>
  el(
    NS_CAM,
    'client',
    { id: client.id, connected: String(client.isConnected), type: 'session' },
    el(NS_CAM, 'first-seen', {}, formatDateTime(client.firstSeenMs)),
    el(NS_CAM, 'last-seen', {}, formatDateTime(client.lastSeenMs)),
    el(
      NS_CAM,
      'auth',
      {},
      client.knowsPassword ? el(NS_CAM, 'password') : undefined,
      client.hasToken ? el(NS_CAM, 'fast') : undefined,
    ),
    // Whoever is logged in may do everything.
    el(NS_CAM, 'permission', { status: 'unrestricted' }),
    client.software === undefined && client.device === undefined ? undefined : userAgent(client),
  )

const userAgent = ({ software, device }: Client): Element =>
  el(
    NS_CAM,
    'user-agent',
    {},
    software === undefined ? undefined : el(NS_CAM, 'software', {}, software),
    device === undefined ? undefined : el(NS_CAM, 'device', {}, device),
  )
