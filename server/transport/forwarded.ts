import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { normalAddress } from './proxy-protocol.ts'

/** Whether the address is of this machine's loopback: what is sent to it does not leave the machine. */
export const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(::ffff:)?127\.|^::1$/.test(address)

/**
 * The address of whoever asks over HTTP. A reverse proxy on this machine speaks for others and says for whom in the last entry of X-Forwarded-For, which it wrote itself;
 * the header of anyone else means nothing.
 */
export const askerAddress = (hop: string, headers: IncomingHttpHeaders): string => {
  if (!isLoopback(hop)) return hop
  const last = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',').at(-1)?.trim() ?? ''
  return isIP(last) === 0 ? hop : normalAddress(last)
}
