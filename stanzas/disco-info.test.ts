import { expect, test } from 'vitest'
import { formTypeField } from './data-form.ts'
import { type DiscoInfo, discoInfoElement, readDiscoInfo } from './disco-info.ts'
import { el } from './element.ts'
import { NS_DATA_FORMS, NS_DISCO_INFO } from './namespaces.ts'

const info: DiscoInfo = {
  identities: [
    { category: 'server', type: 'im', name: 'Waxwing' },
    { category: 'server', type: 'im', name: 'Seidenschwanz', lang: 'de' },
  ],
  features: [NS_DISCO_INFO, 'urn:xmpp:ping'],
  forms: [{ type: 'result', fields: [formTypeField('http://jabber.org/network/serverinfo')] }],
}

test('XEP-0030 §3.1, XEP-0128 §2: an answer is built and read back', () => {
  const query = discoInfoElement(info, 'urn:node')
  expect(query.attrs).toEqual({ node: 'urn:node' })
  expect(query.getChildren('identity')[1]?.attrs).toEqual({
    category: 'server',
    type: 'im',
    name: 'Seidenschwanz',
    'xml:lang': 'de',
  })
  expect(query.getChildren('feature').map(({ attrs }) => attrs.var)).toEqual(info.features)
  expect(readDiscoInfo(query)).toMatchObject(info)
})

test.each([
  ['another element', el(NS_DISCO_INFO, 'answer')],
  ['another namespace', el('urn:x', 'query')],
  ['an identity without type', el(NS_DISCO_INFO, 'query', {}, el(NS_DISCO_INFO, 'identity', { category: 'server' }))],
  [
    'an identity with an empty category',
    el(NS_DISCO_INFO, 'query', {}, el(NS_DISCO_INFO, 'identity', { category: '', type: 'im' })),
  ],
  ['a feature without var', el(NS_DISCO_INFO, 'query', {}, el(NS_DISCO_INFO, 'feature'))],
  ['a form of unknown type', el(NS_DISCO_INFO, 'query', {}, el(NS_DATA_FORMS, 'x', { type: 'wish' }))],
])('XEP-0030 §3.1: %s is no answer', (_, query) => {
  expect(readDiscoInfo(query)).toBeUndefined()
})
