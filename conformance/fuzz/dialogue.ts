/** How far a client is when it begins to say something strange. */
export type Prelude = 'nothing' | 'login' | 'bound'

/** A whole valid dialogue, one element a step. */
export interface Dialogue {
  readonly prelude: Prelude
  readonly steps: readonly string[]
}

/** The server's domain. */
export const HOME = 'localhost'

/** What opens a stream, and what closes it. */
export const header = `<?xml version='1.0'?><stream:stream to='${HOME}' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`
export const end = '</stream:stream>'

export const iq = (type: 'get' | 'set', payload: string, attributes = ''): string =>
  `<iq type='${type}' id='q1'${attributes}>${payload}</iq>`
export const message = (to: string, type: string, inner: string): string =>
  `<message to='${to}' type='${type}' id='m1'>${inner}</message>`
export const body = '<body>But soft, what light through yonder window breaks? &lt;&amp;&gt; Ⓡ 𝄞</body>'

export const dialogue = (prelude: Prelude, ...steps: readonly string[]): Dialogue => ({ prelude, steps })
