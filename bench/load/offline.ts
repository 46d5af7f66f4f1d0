import { setTimeout as sleep } from 'node:timers/promises'
import { attributeOf } from '../client/login.ts'
import { headingOf, messageWriter } from './message.ts'
import { costs, read, readWhenQuiet } from './meter.ts'
import type { LoadOptions } from './options.ts'
import { leave, sessionsOf } from './sessions.ts'

const SENDERS = 10
const SM = `xmlns='urn:xmpp:sm:3'`

/** Some senders store messages for accounts that are away; then all of these come and get them. */
export async function offline(options: LoadOptions): Promise<Record<string, number>> {
  const { serverPid, target } = options
  const run = Math.floor(Math.random() * 1e6)
  const receivers = options.accounts - SENDERS
  const total = receivers * options.messages
  const senders = await sessionsOf(options, 0, SENDERS, { resource: 'load', streamManagement: true })
  const storeFrom = await readWhenQuiet(serverPid)
  const storeMs = performance.now()
  await Promise.all(
    senders.map(async (connection, sender) => {
      const acked = new Promise<void>((resolve) => {
        connection.onStanza = (xml) => {
          if (xml.startsWith('<a ') && Number(attributeOf(xml, 'h')) >= sent) resolve()
        }
      })
      let sent = 0
      for (let round = 0; round < options.messages; round++) {
        for (let at = sender; at < receivers; at += SENDERS, sent++)
          connection.send(messageWriter(run, sender, SENDERS + at, target.domain)(round))
        await sleep(0)
      }
      connection.send(`<r ${SM}/>`)
      await acked
    }),
  )
  const storeSeconds = (performance.now() - storeMs) / 1000
  const storeTo = await readWhenQuiet(serverPid)
  leave(senders)

  const connections = await sessionsOf(options, SENDERS, receivers, { resource: 'load' })
  const expected = connections.map(() => 0)
  let drained = 0
  let reordered = 0
  for (const [at, connection] of connections.entries()) {
    connection.onStanza = (xml) => {
      const heading = xml.startsWith('<message') ? headingOf(xml) : undefined
      if (heading?.run !== run) return
      drained++
      if (heading.sequence !== expected[at]) reordered++
      expected[at] = heading.sequence + 1
    }
  }
  const drainFrom = await readWhenQuiet(serverPid)
  for (const connection of connections) connection.send(`<presence xmlns='jabber:client'/>`)
  const until = performance.now() + 60_000
  while (drained < total && performance.now() < until) await sleep(5)
  const drainSeconds = (read(serverPid).atMs - drainFrom.atMs) / 1000
  const drainTo = await readWhenQuiet(serverPid)
  leave(connections)
  return {
    store_per_s: total / storeSeconds,
    drain_per_s: drained / drainSeconds,
    lost: Math.max(0, total - drained),
    dup: Math.max(0, drained - total),
    reordered,
    ...costs('store_', '1000', storeFrom, storeTo, total / 1000),
    ...costs('drain_', '1000', drainFrom, drainTo, drained / 1000),
  }
}
