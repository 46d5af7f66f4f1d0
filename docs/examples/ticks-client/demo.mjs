// node demo.mjs ws://localhost:5280/xmpp-websocket [domain]
import { register } from './register.mjs'
import { drawn, openChat } from './ticks.mjs'

const [service = 'ws://localhost:5280/xmpp-websocket', domain = 'localhost'] = process.argv.slice(2)
const password = 'a rose by any other name'

const waiting = new Set()
const print = (line) => {
  console.log(line)
  for (const look of waiting) look(line)
}
/** Resolves when a line that holds all this is printed. */
const seen = (...parts) =>
  new Promise((resolve) => {
    const look = (line) => {
      if (!parts.every((part) => line.includes(part))) return
      waiting.delete(look)
      resolve()
    }
    waiting.add(look)
  })

const open = (username, peer) =>
  openChat({
    service,
    domain,
    username,
    password,
    peer: `${peer}@${domain}`,
    onMine: (text, state) => print(`${username.padEnd(7)} ${drawn(state)} ${text}`),
    onTheirs: (text) => print(`${username.padEnd(7)} hears: ${text}`),
    onUnread: (count) => print(`${username.padEnd(7)} ${count} unread`),
  })

for (const username of ['romeo', 'juliet']) await register(service, domain, username, password)

const romeo = open('romeo', 'juliet')
const juliet = open('juliet', 'romeo')
await romeo.login()
await juliet.login()
let heard = seen('juliet', 'hears', 'Lady')
await romeo.write('Lady, by yonder blessed moon I swear')
await heard
print('--- Juliet leaves')
await juliet.leave()

const hasOneTick = seen('romeo', drawn('sent'), 'What shall')
await romeo.write('What shall I swear by?')
await hasOneTick

print('--- Juliet comes back')
const hasTwoTicks = seen('romeo', drawn('delivered'), 'What shall')
heard = seen('juliet', 'hears', 'What shall')
const back = open('juliet', 'romeo')
await back.login()
await hasTwoTicks
await heard

print('--- Juliet reads')
const isBlue = seen('romeo', drawn('read'), 'What shall')
await back.read()
await isBlue
await back.leave()
await romeo.leave()
