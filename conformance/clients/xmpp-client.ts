import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { client, type XmlElement, type XmppClient, xml } from '@xmpp/client'
import { bare, type ChatClient, type ClientKind, Notebook, type Seat } from './chat-client.ts'

const NS_RECEIPTS = 'urn:xmpp:receipts'
const NS_ROSTER = 'jabber:iq:roster'
const NS_STANZA_ID = 'urn:xmpp:sid:0'
const reconnectDelayMs = 500

/** The library @xmpp/client over TCP, secured by STARTTLS. */
export const xmppClientOverTcp: ClientKind = {
  name: '@xmpp/client over TCP',
  door: 'c2s',
  open: async (seat) => openClient(seat, `xmpp://127.0.0.1:${seat.port}`),
}

/** The library @xmpp/client over WebSocket (RFC 7395). */
export const xmppClientOverWebSocket: ClientKind = {
  name: '@xmpp/client over WebSocket',
  door: 'http',
  open: async (seat) => openClient(seat, `ws://127.0.0.1:${seat.port}/xmpp-websocket`),
}

const openClient = (seat: Seat, service: string): ChatClient => {
  // The library offers no setting for a certificate authority, so the process trusts it.
  setDefaultCACertificates([...getCACertificates(), readFileSync(seat.caFile, 'utf8')])
  const username = seat.bareJid.split('@')[0] ?? ''
  const xmpp = client({ service, domain: seat.domain, username, password: seat.password })
  xmpp.reconnect.delay = reconnectDelayMs
  const notes = new Notebook()
  takeNothingUnparsed(xmpp)
  listen(xmpp, notes)

  return {
    bareJid: seat.bareJid,
    ...notes.answers(),
    // A resumed stream changes the status without an event.
    isOnline: async () => xmpp.status === 'online',
    login: async () => {
      await xmpp.start()
    },
    logout: async () => {
      await xmpp.stop()
    },
    subscribe: (peer) => xmpp.send(xml('presence', { to: peer, type: 'subscribe' })),
    approve: (peer) => xmpp.send(xml('presence', { to: peer, type: 'subscribed' })),
    send: (peer, body) => {
      const id = randomUUID()
      notes.sent(id, body)
      const request = xml('request', { xmlns: NS_RECEIPTS })
      // Into a frozen connection the promise of a write may never settle, and the scenario goes on.
      void xmpp.send(xml('message', { to: peer, type: 'chat', id }, xml('body', {}, body), request)).catch(() => undefined)
      return Promise.resolve()
    },
    dispose: async () => {
      xmpp.reconnect.stop()
      await xmpp.stop().catch(() => undefined)
    },
  }
}

// COMPAT(@xmpp/client 0.14): its empty write after <resumed/> makes Node hand it the next TLS record while it parses the one before, if that is there, as on
// a machine so busy that the server does not put both into one. It calls that bad-format, lets go of its parser, and throws at what comes until it is closed.
const takeNothingUnparsed = (xmpp: XmppClient): void => {
  const take = xmpp._onData.bind(xmpp)
  xmpp._onData = (data) => {
    if (xmpp.parser !== null) take(data)
  }
}

const listen = (xmpp: XmppClient, notes: Notebook): void => {
  xmpp.on('element', (element: XmlElement) => notes.wire(`RECV ${element}`))
  xmpp.on('send', (element: XmlElement) => notes.wire(`SENT ${element}`))
  xmpp.on('error', (error: Error) => notes.wire(`ERROR ${error.message}`))
  xmpp.on('status', (status: string) => notes.wire(`STATUS ${status}`))
  xmpp.on('online', () => void startSession(xmpp, notes).catch((error: Error) => notes.wire(`ERROR ${error.message}`)))
  const seen = new Set<string>()
  xmpp.on('stanza', (stanza: XmlElement) => void takeStanza(xmpp, notes, stanza, seen))
  xmpp.iqCallee.set(NS_ROSTER, 'query', ({ element }) => {
    takeRoster(notes, element)
    return true
  })
}

const startSession = async (xmpp: XmppClient, notes: Notebook): Promise<void> => {
  await xmpp.send(xml('presence'))
  const query = xml('query', { xmlns: NS_ROSTER })
  const result = await xmpp.iqCaller.request(xml('iq', { type: 'get' }, query))
  const roster = result.getChild('query', NS_ROSTER)
  if (roster !== undefined) takeRoster(notes, roster)
}

const takeRoster = (notes: Notebook, query: XmlElement): void => {
  for (const item of query.getChildren('item')) notes.contact(item.attrs.jid ?? '', item.attrs.subscription ?? 'none')
}

// COMPAT(@xmpp/client 0.14): it starts to count some stanzas after <enabled/>, so its `h` may be short, and a resumed stream
// rightly repeats what it has. As any bot on it must, this one knows what it has by its stanza id (XEP-0359).
const isDouble = (stanza: XmlElement, seen: Set<string>): boolean => {
  const stanzaId = stanza.getChild('stanza-id', NS_STANZA_ID)?.attrs.id
  if (stanzaId === undefined) return false
  if (seen.has(stanzaId)) return true
  seen.add(stanzaId)
  return false
}

const takeStanza = async (xmpp: XmppClient, notes: Notebook, stanza: XmlElement, seen: Set<string>): Promise<void> => {
  const from = stanza.attrs.from ?? ''
  const { type, id } = stanza.attrs
  if (stanza.is('presence')) {
    if (type === 'subscribe') notes.asked(bare(from))
    else if (type === undefined || type === 'unavailable') notes.presence(bare(from), type === undefined)
    return
  }
  if (!stanza.is('message') || type === 'error') return
  const receivedId = stanza.getChild('received', NS_RECEIPTS)?.attrs.id
  if (receivedId !== undefined) return notes.receipt(receivedId)
  const body = stanza.getChildText('body')
  if (body !== null && !isDouble(stanza, seen)) notes.heard(bare(from), body)
  if (id !== undefined && stanza.getChild('request', NS_RECEIPTS) !== undefined) {
    const received = xml('received', { xmlns: NS_RECEIPTS, id })
    await xmpp.send(xml('message', { to: from, id: randomUUID(), type: 'chat' }, received)).catch(() => undefined)
  }
}
