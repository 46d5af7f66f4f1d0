// node chat.mjs ws://localhost:5280/xmpp-websocket romeo@localhost PASSWORD juliet@localhost
import { createInterface } from 'node:readline'
import { drawn, openChat } from './ticks.mjs'

const [service, jid, password, peer] = process.argv.slice(2)
if (peer === undefined) {
  console.error('usage: node chat.mjs SERVICE JID PASSWORD PEER')
  process.exit(1)
}
const [username, domain] = jid.split('@')
const chat = openChat({
  service,
  domain,
  username,
  password,
  peer,
  onMine: (text, state) => console.log(`${drawn(state)} ${text}`),
  onTheirs: (text) => console.log(`   ${peer}: ${text}   (Enter: read)`),
  onUnread: (count) => console.log(`   ${count} unread`),
})
await chat.login()
for await (const line of createInterface({ input: process.stdin })) {
  // An empty line says: I have read what is there. So does an answer.
  await chat.read()
  if (line !== '') await chat.write(line)
}
await chat.leave()
