import { defineModule } from '#server/core/module.ts'

const NS_XRD = 'http://docs.oasis-open.org/ns/xri/xrd-1.0'
const WEBSOCKET = 'urn:xmpp:alt-connections:websocket'

/** Tells web clients where to connect. */
export const hostMeta = defineModule({
  name: 'host-meta',
  summary: 'Tells web clients, at a well-known address, where the WebSocket is.',
  xeps: { 'XEP-0156': '1.4.0' },

  start({ host, domain }) {
    const links = (): readonly { readonly rel: string; readonly href: string }[] => {
      const href = host.websocketUrl()
      // XEP-0156 §2.2: only what TLS protects; without TLS the server is for tests on its own machine.
      const isAnnounced = href.startsWith('wss:') || host.isDev || domain.jid === 'localhost'
      return isAnnounced ? [{ rel: WEBSOCKET, href }] : []
    }

    return {
      http: [
        {
          method: 'GET',
          path: '/.well-known/host-meta',
          cors: true,
          handle: (_, response) => response.send(200, { 'Content-Type': 'application/xrd+xml; charset=utf-8' }, xrd(links())),
        },
        {
          method: 'GET',
          path: '/.well-known/host-meta.json',
          cors: true,
          handle: (_, response) => response.send(200, { 'Content-Type': 'application/json' }, JSON.stringify({ links: links() })),
        },
      ],
    }
  },
})

const xrd = (links: readonly { readonly rel: string; readonly href: string }[]): string => {
  const lines = links.map(
    ({ rel, href }) => `  <Link rel='${rel}' href='${href.replace(/&/g, '&amp;').replace(/'/g, '&apos;')}'/>\n`,
  )
  return `<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='${NS_XRD}'>\n${lines.join('')}</XRD>\n`
}
