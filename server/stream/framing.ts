import { NS_CLIENT, NS_FRAMING } from '#stanzas/namespaces.ts'
import { type Wire, wire } from '#stanzas/wire.ts'

/** RFC 7395 §3.6: how a stream of frames ends. */
export const CLOSE_FRAME = wire(`<close xmlns='${NS_FRAMING}'/>`)

const FRAMED = ` xmlns='${NS_CLIENT}'`

/** RFC 7395 §3.3.3: each frame declares the namespace of its element. */
export const framed = (data: Wire): Wire => {
  const end = data.startsWith('<message') ? 8 : data.startsWith('<presence') ? 9 : 3
  if (data.startsWith(FRAMED, end)) return data
  return wire(`${data.slice(0, end)}${FRAMED}${data.slice(end)}`)
}
