import { expect } from 'vitest'
import { any, conversation } from '#server/testing/conversation.ts'
import { byPassword, logsInQuickly, NS_BIND2, PHONE, wantsBinding } from '#server/testing/quick-client.ts'
import { mam } from '../mam.ts'
import { offline } from '../offline.ts'
import { presence } from '../presence.ts'

const modules = [presence, offline, mam]
const NS_MAM = 'urn:xmpp:mam:2'

conversation(
  'XEP-0386 §3.2.1: a client that binds learns where the archive begins and ends, and gets what waits for it once',
  { modules },
  async ({ visit, connect, createAccount }) => {
    await createAccount('juliet@verona.example')
    const romeo = await connect('romeo@verona.example/orchard')
    const empty = await visit()
    const first = await logsInQuickly(empty, byPassword('juliet', wantsBinding(), PHONE))
    expect(first.getChild('bound', NS_BIND2)?.getChild('metadata', NS_MAM)?.children).toEqual([])
    await empty.leaves()

    for (const body of ['one', 'two', 'three'])
      await romeo.sends(`<message type='chat' to='juliet@verona.example'><body>${body}</body></message>`)
    const actor = await visit()
    const success = await logsInQuickly(actor, byPassword('juliet', wantsBinding(), PHONE))
    const metadata = success.getChild('bound', NS_BIND2)?.getChild('metadata', NS_MAM)
    const ids = ['start', 'end'].map((name) => metadata?.getChild(name)?.attrs.id)
    await actor.ignores()

    await actor.sends(`<iq type='set' id='q'><query xmlns='${NS_MAM}'/></iq>`)
    const page = await actor.collects()
    const shown = page.flatMap((element) => element.getChild('result', NS_MAM)?.attrs.id ?? [])
    expect([shown.at(0), shown.at(-1), shown.length]).toEqual([...ids, 3])
    await actor.sends('<presence/>')
    await actor.receives(`<presence from='${actor.jid}' to='${any}'/>`)
    await actor.receivesNothing()
  },
)
