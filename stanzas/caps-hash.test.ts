import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { capsHash, type Digest, isWellFormedForCaps, provesCaps, verificationString } from './caps-hash.ts'
import { type DataForm, type Field, formTypeField } from './data-form.ts'
import { type DiscoInfo, discoInfoElement, readDiscoInfo } from './disco-info.ts'

const digest: Digest = (algorithm, text) => createHash(algorithm).update(text).digest('base64')

const FEATURES = [
  'http://jabber.org/protocol/muc',
  'http://jabber.org/protocol/disco#items',
  'http://jabber.org/protocol/caps',
  'http://jabber.org/protocol/disco#info',
]

const result = (...fields: readonly Field[]): DataForm => ({ type: 'result', fields })
const field = (name: string, ...values: readonly string[]): Field => ({ var: name, values })

const exodus: DiscoInfo = {
  identities: [{ category: 'client', type: 'pc', name: 'Exodus 0.9.1' }],
  features: FEATURES,
  forms: [],
}

const psi: DiscoInfo = {
  identities: [
    { category: 'client', type: 'pc', name: 'Psi 0.11', lang: 'en' },
    { category: 'client', type: 'pc', name: 'Ψ 0.11', lang: 'el' },
  ],
  features: FEATURES,
  forms: [
    result(
      field('software', 'Psi'),
      formTypeField('urn:xmpp:dataforms:softwareinfo'),
      field('ip_version', 'ipv6', 'ipv4'),
      field('software_version', '0.11'),
      field('os', 'Mac'),
      field('os_version', '10.5.1'),
    ),
  ],
}

describe('the hash', () => {
  test('XEP-0115 §5.2: the simple example', () => {
    expect(capsHash(exodus, 'sha-1', digest)).toBe('QgayPKawpkPSDYmwT/WM94uAlu0=')
  })

  test('XEP-0115 §5.3: the complex example, whatever the order it comes in', () => {
    expect(verificationString(psi)).toBe(
      'client/pc/el/Ψ 0.11<client/pc/en/Psi 0.11<http://jabber.org/protocol/caps<http://jabber.org/protocol/disco#info<' +
        'http://jabber.org/protocol/disco#items<http://jabber.org/protocol/muc<urn:xmpp:dataforms:softwareinfo<' +
        'ip_version<ipv4<ipv6<os<Mac<os_version<10.5.1<software<Psi<software_version<0.11<',
    )
    expect(capsHash(psi, 'sha-1', digest)).toBe('q07IKJEyjvHSyhy//CH0CxmKi8w=')
  })

  test('XEP-0115 §5.3: the same after a way through elements', () => {
    const read = readDiscoInfo(discoInfoElement(psi))
    expect(read === undefined ? undefined : capsHash(read, 'sha-1', digest)).toBe('q07IKJEyjvHSyhy//CH0CxmKi8w=')
  })

  test('XEP-0115 §5.1: texts are sorted by their bytes, so a supplementary character comes after U+FF5E', () => {
    const text = verificationString({ identities: [], features: ['\u{10330}', '\uff5e'], forms: [] })
    expect(text).toBe('\uff5e<\u{10330}<')
  })

  test('XEP-0115 §5.1: identities are sorted by category, then by type', () => {
    const identities = [
      { category: 'a-b', type: 'x' },
      { category: 'a', type: 'z' },
      { category: 'a', type: 'y' },
    ]
    expect(verificationString({ identities, features: [], forms: [] })).toBe('a/y//<a/z//<a-b/x//<')
  })

  test('XEP-0115 §4: other hash functions by their registered names', () => {
    expect(capsHash(exodus, 'sha-256', digest)).toMatch(/^[A-Za-z0-9+/]{43}=$/)
    expect(capsHash(exodus, 'md5', digest)).toBeUndefined()
    expect(capsHash(exodus, 'sha1', digest)).toBeUndefined()
  })
})

describe('what proves a hash', () => {
  const ver = 'q07IKJEyjvHSyhy//CH0CxmKi8w='

  test('XEP-0115 §5.4: an answer that hashes to it, by that function', () => {
    expect(provesCaps(psi, 'sha-1', ver, digest)).toBe(true)
    expect(provesCaps(exodus, 'sha-1', ver, digest)).toBe(false)
    expect(provesCaps(psi, 'sha-256', ver, digest)).toBe(false)
    expect(provesCaps(psi, 'md5', ver, digest)).toBe(false)
  })

  test('XEP-0115 §5.4: forms without a hidden FORM_TYPE are ignored', () => {
    const more = [result(field('a', 'b')), result(field('FORM_TYPE', 'urn:x'), field('a', 'b'))]
    expect(provesCaps({ ...psi, forms: [...psi.forms, ...more] }, 'sha-1', ver, digest)).toBe(true)
  })

  test.each<[string, Partial<DiscoInfo>]>([
    ['§5.4: two equal identities', { identities: [...psi.identities, ...psi.identities] }],
    ['§5.4: two equal features', { features: [...FEATURES, 'http://jabber.org/protocol/muc'] }],
    ['§5.4: two forms of one FORM_TYPE', { forms: [...psi.forms, result(formTypeField('urn:xmpp:dataforms:softwareinfo'))] }],
    ['§5.4: a FORM_TYPE of two values', { forms: [result({ var: 'FORM_TYPE', type: 'hidden', values: ['a', 'b'] })] }],
    ['§9.3: a feature that reads as two', { features: ['a<b'] }],
    [
      '§9.3: an identity that reads as an identity and a feature',
      { identities: [{ category: 'client', type: 'pc', name: 'x<urn:y' }] },
    ],
    ['§9.3: a form value that reads as two', { forms: [result(formTypeField('urn:x'), field('a', 'b<c'))] }],
    ['§9.3: a category that reads as category and type', { identities: [{ category: 'client/pc', type: 'x' }] }],
  ])('XEP-0115 %s proves nothing', (_, change) => {
    const info = { ...psi, ...change }
    expect(isWellFormedForCaps(info)).toBe(false)
    expect(provesCaps(info, 'sha-1', capsHash(info, 'sha-1', digest) ?? '', digest)).toBe(false)
  })

  test('XEP-0115 §5.4: a FORM_TYPE that repeats one value is well-formed', () => {
    expect(isWellFormedForCaps({ ...psi, forms: [result({ var: 'FORM_TYPE', type: 'hidden', values: ['a', 'a'] })] })).toBe(true)
  })
})
