import { expect } from 'vitest'
import { digest } from '#server/base/digest.ts'
import { conversation, refusal, xml } from '#server/testing/conversation.ts'
import { provesCaps } from '#stanzas/caps-hash.ts'
import { readDiscoInfo } from '#stanzas/disco-info.ts'
import { caps } from './caps.ts'
import { contactAddresses } from './contact-addresses.ts'

const NS_CAPS = 'http://jabber.org/protocol/caps'
const INFO = 'http://jabber.org/protocol/disco#info'
const config = { modules: { 'contact-addresses': { abuse: ['mailto:abuse@verona.example'] } } }

conversation(
  'XEP-0115 §6.3: the hash in the stream features is that of what the server tells, forms included',
  { modules: [caps, contactAddresses], config },
  async ({ visit, createAccount, domain }) => {
    await createAccount('juliet@verona.example')
    const juliet = await visit()
    const c = (await juliet.logsIn('juliet', 'secret')).getChild('c', NS_CAPS)
    const { hash = '', node = '', ver = '' } = c?.attrs ?? {}
    expect({ hash, node }).toEqual({ hash: 'sha-1', node: 'https://waxwing.im' })
    await juliet.binds('balcony')

    for (const asked of [undefined, `${node}#${ver}`]) {
      await juliet.sends(
        xml`<iq type="get" id="c1" to="${domain}"><query xmlns="${INFO}"${asked === undefined ? '' : ` node="${asked}"`}/></iq>`,
      )
      const query = (await juliet.next()).getChild('query', INFO)
      expect(query?.attrs.node).toBe(asked)
      const info = query === undefined ? undefined : readDiscoInfo(query)
      expect(info?.forms).toHaveLength(1)
      expect(info?.features).toContain(NS_CAPS)
      expect(info?.features).not.toContain(`${NS_CAPS}#optimize`)
      expect(info !== undefined && provesCaps(info, hash, ver, digest)).toBe(true)
    }
  },
)

conversation('XEP-0115 §6.2: another hash is no node of the server', { modules: [caps] }, async ({ connect, domain }) => {
  const juliet = await connect('juliet@verona.example/balcony')
  await juliet.sends(xml`<iq type="get" id="c1" to="${domain}"><query xmlns="${INFO}" node="https://waxwing.im#stale"/></iq>`)
  await juliet.receives(refusal('item-not-found', { id: 'c1', from: domain, to: juliet.jid }))
})

conversation('XEP-0115 §6.3: before login there is none', { modules: [caps] }, async ({ visit }) => {
  const juliet = await visit()
  expect((await juliet.opensStream()).getChild('c', NS_CAPS)).toBeUndefined()
})
