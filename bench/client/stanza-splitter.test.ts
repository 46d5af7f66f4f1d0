import { expect, test } from 'vitest'
import { StanzaSplitter } from './stanza-splitter.ts'

const stream =
  `<?xml version='1.0'?><stream:stream xmlns='jabber:client' from="a>b">` +
  `<stream:features><bind xmlns='x'/></stream:features><r xmlns='urn:xmpp:sm:3'/>` +
  `<message id='"1>"'><body>one</body><a><b/></a></message>\n<message><body>two</body></message></stream:stream>`

const stanzas = [
  `<stream:features><bind xmlns='x'/></stream:features>`,
  `<r xmlns='urn:xmpp:sm:3'/>`,
  `<message id='"1>"'><body>one</body><a><b/></a></message>`,
  `<message><body>two</body></message>`,
]

test('a stream is cut into its stanzas wherever its text is split', () => {
  for (let size = 1; size <= stream.length; size++) {
    const found: string[] = []
    const splitter = new StanzaSplitter((xml) => found.push(xml))
    for (let at = 0; at < stream.length; at += size) splitter.push(stream.slice(at, at + size))
    expect(found).toEqual(stanzas)
  }
})
