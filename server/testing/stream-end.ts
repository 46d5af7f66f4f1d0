import { expect } from 'vitest'
import type { Element } from '#stanzas/element.ts'
import { NS_CLIENT, NS_FRAMING, NS_STREAM_ERRORS, NS_STREAMS } from '#stanzas/namespaces.ts'
import type { Actor } from './actor.ts'

/** A stream header as a client sends it (RFC 6120 §4.2). */
export const streamHeader = (
  attributes = "to='verona.example' version='1.0'",
  namespaces = `xmlns='${NS_CLIENT}' xmlns:stream='${NS_STREAMS}'`,
): string => `<?xml version='1.0'?><stream:stream ${attributes} ${namespaces}>`

/** The server's end tag comes next, and nothing behind it (RFC 6120 §4.4, RFC 7395 §3.6). */
export const ends = async (actor: Actor): Promise<void> => {
  const last = await actor.next()
  expect(`${last.ns} ${last.name}`).toBe(actor.framing === 'frames' ? `${NS_FRAMING} close` : `${NS_STREAMS} end`)
  await expect(actor.next()).rejects.toThrow('the connection ended')
}

/** A stream error with this condition comes next, then the end of the stream (RFC 6120 §4.9.1.1); gives the error. */
export const failsWith = async (actor: Actor, condition: string): Promise<Element> => {
  let error = await actor.next()
  // RFC 7395 §3.5: an error before the header is answered with a header first.
  if (error.ns === NS_FRAMING && error.name === 'open') error = await actor.next()
  const first = error.children[0]
  const name = typeof first === 'object' && first.ns === NS_STREAM_ERRORS ? first.name : undefined
  expect([error.ns, error.name, name]).toEqual([NS_STREAMS, 'error', condition])
  await ends(actor)
  return error
}
