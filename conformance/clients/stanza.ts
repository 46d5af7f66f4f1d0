import { randomUUID } from 'node:crypto'
import { type Agent, createClient } from 'stanza'
import { bare, type ChatClient, type ClientKind, Notebook, type Seat } from './chat-client.ts'

const loginTimeoutMs = 20_000

/** The library stanza over WebSocket (RFC 7395). */
export const stanzaOverWebSocket: ClientKind = {
  name: 'stanza over WebSocket',
  door: 'http',
  open: async (seat) => openClient(seat),
}

const openClient = (seat: Seat): ChatClient => {
  const agent = createClient({
    jid: seat.bareJid,
    password: seat.password,
    transports: { websocket: `ws://127.0.0.1:${seat.port}/xmpp-websocket`, bosh: false },
    autoReconnect: true,
    allowResumption: true,
    maxReconnectBackoff: 1,
  })
  const notes = new Notebook()
  listen(agent, notes)
  return {
    bareJid: seat.bareJid,
    ...notes.answers(),
    login: () => login(agent),
    logout: async () => {
      await agent.disconnect()
    },
    subscribe: async (peer) => agent.subscribe(peer),
    approve: async (peer) => agent.acceptSubscription(peer),
    send: async (peer, body) => {
      const id = randomUUID()
      notes.sent(id, body)
      agent.sendMessage({ to: peer, id, type: 'chat', body, receipt: { type: 'request' } })
    },
    dispose: async () => {
      agent.config.autoReconnect = false
      await agent.disconnect()
    },
  }
}

const login = (agent: Agent): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('stanza did not log in')), loginTimeoutMs)
    agent.once('session:started', () => {
      clearTimeout(timer)
      resolve()
    })
    void agent.connect()
  })

const listen = (agent: Agent, notes: Notebook): void => {
  agent.on('raw:incoming', (data) => notes.wire(`RECV ${data}`))
  agent.on('raw:outgoing', (data) => notes.wire(`SENT ${data}`))
  agent.on('stream:management:resumed', () => notes.online(true))
  agent.on('disconnected', () => notes.online(false))
  agent.on('session:started', () => {
    notes.online(true)
    agent.sendPresence()
    void agent.getRoster().then(
      (roster) => takeRoster(notes, roster.items ?? []),
      () => notes.wire('ERROR no roster'),
    )
  })
  agent.on('roster:update', (iq) => takeRoster(notes, iq.roster.items ?? []))
  agent.on('subscribe', (presence) => notes.asked(bare(presence.from)))
  agent.on('available', (presence) => notes.presence(bare(presence.from), true))
  agent.on('unavailable', (presence) => notes.presence(bare(presence.from), false))
  agent.on('chat', (message) => {
    if (message.body !== undefined) notes.heard(bare(message.from), message.body)
  })
  agent.on('receipt', (message) => notes.receipt(message.receipt.id ?? ''))
}

const takeRoster = (notes: Notebook, items: readonly { readonly jid: string; readonly subscription?: string }[]): void => {
  for (const item of items) notes.contact(item.jid, item.subscription ?? 'none')
}
