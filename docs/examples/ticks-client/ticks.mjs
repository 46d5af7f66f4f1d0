import { randomUUID } from 'node:crypto'
import { client, xml } from '@xmpp/client'

const NS_TICKS = 'urn:waxwing:ticks:0'
const NS_MARKERS = 'urn:xmpp:chat-markers:0'

/** States only move forward: what comes late is ignored (docs/protocol/ticks.md §7.3). */
const ORDER = ['', 'sent', 'delivered', 'read']

/** One tick, two ticks, two blue ticks. */
export const drawn = (state) =>
  ({ sent: '\x1b[90m✓\x1b[0m ', delivered: '\x1b[90m✓✓\x1b[0m', read: '\x1b[34m✓✓\x1b[0m' })[state] ?? '… '

/**
 * Logs in and chats with one peer. `onMine` is told of each message of one's own, again whenever its state changes; `onTheirs` of the peer's;
 * `onUnread` how many of the peer's have not been read by any device.
 */
export const openChat = ({ service, domain, username, password, peer, onMine, onTheirs, onUnread }) => {
  const xmpp = client({ service, domain, username, password })
  const mine = new Map()
  const answers = new Map()
  let newest

  // COMPAT(@xmpp/client 0.14): what its iqCaller takes it does not count (XEP-0198 §4), so that what came last would never be acknowledged.
  const ask = async (type, payload) => {
    const id = randomUUID()
    const answer = new Promise((resolve) => answers.set(id, resolve))
    await xmpp.send(xml('iq', { type, id }, payload))
    return answer
  }

  const change = (id, state) => {
    const message = mine.get(id)
    if (message === undefined || ORDER.indexOf(state) <= ORDER.indexOf(message.state)) return
    // Who has read a message has read those before it.
    const earlier = [...mine.keys()].slice(0, [...mine.keys()].indexOf(id))
    if (state === 'read') for (const other of earlier) change(other, state)
    message.state = state
    onMine(message.text, state)
  }

  const heard = (stanza) => {
    const from = (stanza.attrs.from ?? '').split('/')[0]
    if (stanza.is('presence') && stanza.attrs.type === 'subscribe' && from === peer)
      return xmpp.send(xml('presence', { to: peer, type: 'subscribed' }))
    if (stanza.is('iq')) answers.get(stanza.attrs.id)?.(stanza)
    answers.delete(stanza.attrs.id)
    if (!stanza.is('message') || stanza.attrs.type === 'error') return
    const ticks = stanza.getChild('ticks', NS_TICKS)
    // Only the account itself tells of ticks.
    if (ticks !== undefined && from === `${username}@${domain}`) {
      for (const { attrs } of ticks.getChildren('tick')) change(attrs['message-id'], attrs.state)
      // Another device may have read what this one shows.
      if (ticks.getChildren('watermark').some(({ attrs }) => attrs.peer === peer)) onUnread(0)
      return
    }
    const text = stanza.getChildText('body')
    if (text === null || from !== peer) return
    newest = stanza.attrs.id
    onTheirs(text)
  }
  xmpp.on('stanza', (stanza) => heard(stanza)?.catch(() => undefined))
  xmpp.on('error', (error) => console.error(error.message))

  return {
    async login() {
      await xmpp.start()
      // Enable first, then ask: nothing falls in between.
      await ask('set', xml('enable', { xmlns: NS_TICKS }))
      const answer = await ask('get', xml('chats', { xmlns: NS_TICKS }))
      const chats = answer.getChild('chats', NS_TICKS).getChildren('chat')
      onUnread(Number(chats.find(({ attrs }) => attrs.peer === peer)?.attrs.unread ?? 0))
      await xmpp.send(xml('presence'))
      // Whether a device has a message is told to those who may see its account's presence.
      await xmpp.send(xml('presence', { to: peer, type: 'subscribe' }))
    },
    write(text) {
      const id = randomUUID()
      mine.set(id, { text, state: '' })
      onMine(text, '')
      const markable = xml('markable', { xmlns: NS_MARKERS })
      return xmpp.send(xml('message', { to: peer, type: 'chat', id }, xml('body', {}, text), markable))
    },
    /** What has come has been read, and the peer may know it. */
    async read() {
      if (newest === undefined) return
      await xmpp.send(xml('message', { to: peer, type: 'chat' }, xml('displayed', { xmlns: NS_MARKERS, id: newest })))
      newest = undefined
    },
    leave: () => xmpp.stop(),
  }
}
