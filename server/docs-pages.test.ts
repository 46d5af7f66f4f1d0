import { expect, test } from 'vitest'
import { boolean, duration, section } from './base/schema.ts'
import type { DeclaredModule } from './command/server-seam.ts'
import { configPage, doap, modulesPage, xepsPage } from './docs-pages.ts'

const lastActivity: DeclaredModule = {
  name: 'last-activity',
  summary: 'Tells contacts how long ago an account was last online.',
  xeps: { 'XEP-0012': '2.0' },
  features: {},
  config: {
    keepStatus: boolean({ default: true, doc: 'Keep | the text.' }),
    purge: section({ doc: 'Old ones.', fields: { after: duration('7d', { doc: 'When.' }) } }),
  },
}
const ping: DeclaredModule = {
  name: 'ping',
  summary: 'Answers.',
  xeps: { 'XEP-0199': '2.0.1', 'XEP-0012': '2.0' },
  features: {},
  config: {},
}

test('the configuration page has a row for each key, with default, limits and meaning', () => {
  const page = configPage(
    {
      domain: boolean({ default: false, doc: 'D.' }),
      tls: section({ doc: 'T.', fields: { age: duration('1s', { doc: 'A.', min: '1s' }) } }),
    },
    [lastActivity, ping],
  )
  expect(page).toContain('| `domain` | `false` | true or false | D. |')
  expect(page).toContain('## tls\n\nT.\n')
  expect(page).toContain('| `age` | `1s` | a length of time of at least 1s, such as 500ms, 60s, 5m, 2h or 7d | A. |')
  expect(page).toContain('### modules.last-activity\n\nTells contacts')
  expect(page).toContain('| `keepStatus` | `true` | true or false | Keep \\| the text. |')
  expect(page).toContain('#### modules.last-activity.purge')
  expect(page).not.toContain('modules.ping')
})

test('the module page and the extension page list what is declared', () => {
  expect(modulesPage([lastActivity, ping])).toContain(
    '| ping | Answers. | [XEP-0012](https://xmpp.org/extensions/xep-0012.html), [XEP-0199](https://xmpp.org/extensions/xep-0199.html) |  |',
  )
  expect(xepsPage([lastActivity, ping])).toContain(
    '| [XEP-0012](https://xmpp.org/extensions/xep-0012.html) | 2.0 | last-activity, ping |',
  )
})

test('XEP-0453: the description of the project names each extension once', () => {
  const text = doap([lastActivity, ping])
  expect(text.match(/xep-0012/g)).toHaveLength(1)
  expect(text).toContain('<xmpp:version>2.0.1</xmpp:version>')
})
