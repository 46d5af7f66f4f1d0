import { expect } from 'vitest'
import { conversation, type Scene, xml } from '#server/testing/conversation.ts'
import { show } from '#server/testing/match.ts'
import { streamLimits } from './stream-limits.ts'

const modules = [streamLimits]

const limitsOf = async ({ visit, createAccount }: Scene) => {
  await createAccount('juliet@verona.example')
  const juliet = await visit()
  const before = (await juliet.opensStream()).getChild('limits', 'urn:xmpp:stream-limits:0')
  const other = await visit()
  const after = (await other.logsIn('juliet', 'secret')).getChild('limits', 'urn:xmpp:stream-limits:0')
  const text = (element: typeof before) => (element === undefined ? undefined : show(element).replace(/\s*\n\s*/g, ''))
  return { before: text(before), after: text(after) }
}

const limits = (bytes: number, idle?: number): string =>
  `<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>${bytes}</max-bytes>${idle === undefined ? '' : `<idle-seconds>${idle}</idle-seconds>`}</limits>`

conversation(
  'XEP-0478 §3.1, §4: the features tell the limits, which are others before and after login',
  { modules },
  async (scene) => {
    expect(await limitsOf(scene)).toEqual({ before: limits(10_000, 30), after: limits(262_144, 900) })
  },
)

conversation(
  'XEP-0478 §3.1: what is told is what was configured, and a silence without limit is not mentioned',
  {
    modules,
    config: { limits: { stanzaBytes: '20 KB', bytesBeforeLogin: '5 KB', loginTimeout: '2500ms', idleTimeout: 'forever' } },
  },
  async (scene) => {
    expect(await limitsOf(scene)).toEqual({ before: limits(5_000, 2), after: limits(20_000) })
  },
)

conversation(
  'XEP-0478 §3.1: a stanza of just that size passes, one that is larger by a byte does not',
  { modules, config: { limits: { stanzaBytes: '20 KB' } }, carriers: ['memory', 'tcp'] },
  async ({ connect }) => {
    const juliet = await connect('juliet@verona.example/balcony')
    const head = xml`<iq type="get" id="p1"><ping xmlns="urn:xmpp:ping">`
    const tail = '</ping></iq>'
    const filled = (bytes: number) => `${head}${' '.repeat(bytes - head.length - tail.length)}${tail}`
    await juliet.sends(filled(20_000))
    await juliet.receives(xml`<iq type="result" id="p1" from="${juliet.bareJid}" to="${juliet.jid}"/>`)
    await juliet.sends(filled(20_001))
    await juliet.receives(
      xml`<stream:error><policy-violation xmlns="urn:ietf:params:xml:ns:xmpp-streams"/><text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">the element is too large</text></stream:error>`,
    )
  },
)
