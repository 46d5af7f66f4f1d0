import { usernameOf } from '../client/accounts.ts'

const NS = `xmlns='jabber:client'` // RFC 7395 §3.3 wants it on WebSocket; on TCP it is sent too, so that the work is the same
const TEXT = 'Grüße &amp; &lt;b&gt;✓&lt;/b&gt; lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do'

const RECEIPT = `<request xmlns='urn:xmpp:receipts'/>`

/** Forbids everybody to keep the message (XEP-0334 §4.2). */
export const NO_STORE = `<no-store xmlns='urn:xmpp:hints'/>`

/** Writes the messages of one sender: a body of about 100 bytes that begins with sender and number. */
export function messageWriter(
  run: number,
  sender: number,
  addressee: number,
  domain: string,
  payload = RECEIPT,
): (sequence: number) => string {
  const start = `<message ${NS} type='chat' to='${usernameOf(addressee)}@${domain}' id='${run}-${sender}-`
  const body = `'><body>${run} ${sender} `
  const end = ` ${TEXT}</body>${payload}</message>`
  return (sequence) => `${start}${sequence}${body}${sequence}${end}`
}

/** The same with an origin-id (XEP-0359), for clients that send again what was not acknowledged, and a body as long as is wished. */
export function paddedMessageWriter(
  run: number,
  sender: number,
  addressee: string,
  bodyBytes: number,
): (sequence: number) => string {
  const padding = '.'.repeat(bodyBytes)
  return (sequence) => {
    const id = `${run}-${sender}-${sequence}`
    const origin = `<origin-id xmlns='urn:xmpp:sid:0' id='${id}'/>`
    return `<message ${NS} type='chat' to='${addressee}' id='${id}'><body>${run} ${sender} ${sequence} ${padding}</body>${origin}</message>`
  }
}

export type Heading = { readonly run: number; readonly sender: number; readonly sequence: number }

/** Reads what a message's body begins with. */
export function headingOf(xml: string): Heading | undefined {
  const at = xml.indexOf('<body>') + 6
  if (at < 6) return undefined
  const first = xml.indexOf(' ', at)
  const second = xml.indexOf(' ', first + 1)
  const third = xml.indexOf(' ', second + 1)
  return {
    run: Number(xml.slice(at, first)),
    sender: Number(xml.slice(first + 1, second)),
    sequence: Number(xml.slice(second + 1, third)),
  }
}
