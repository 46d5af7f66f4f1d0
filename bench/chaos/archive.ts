import { attributeOf } from '../client/login.ts'
import type { Device } from './device.ts'

const PAGE = 250

/** The ids of all messages in the archive of a device's account, oldest first (XEP-0313). */
export const readArchive = async (device: Device): Promise<readonly string[]> => {
  const ids: string[] = []
  let after: string | undefined
  for (let page = 0; ; page++) {
    const id = `archive-${page}`
    const reply = await device.request(id, query(id, after), (xml) => {
      const inner = /<message\b[^>]*>/.exec(xml.slice(xml.indexOf('<forwarded')))?.[0] ?? ''
      const found = attributeOf(inner, 'id')
      if (found !== undefined) ids.push(found)
    })
    if (attributeOf(reply, 'type') !== 'result')
      throw new Error(`the archive of ${device.bareJid} is refused: ${reply.slice(0, 300)}`)
    after = /<last>([^<]*)<\/last>/.exec(reply)?.[1]
    if (after === undefined || /\bcomplete=['"](true|1)/.test(reply)) return ids
  }
}

const query = (id: string, after: string | undefined): string =>
  `<iq xmlns='jabber:client' type='set' id='${id}'><query xmlns='urn:xmpp:mam:2' queryid='${id}'>` +
  `<set xmlns='http://jabber.org/protocol/rsm'><max>${PAGE}</max>${after === undefined ? '' : `<after>${after}</after>`}</set></query></iq>`
