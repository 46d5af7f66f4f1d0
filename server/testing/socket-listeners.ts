import { nullLog } from '#server/base/log.ts'
import { Metrics } from '#server/base/metrics.ts'
import type { Accept } from '#server/stream/connection.ts'
import { HttpServer } from '#server/transport/http.ts'
import { openListeners, type Service } from '#server/transport/listener.ts'
import { xmppOverWebSocket } from '#server/transport/websocket.ts'
import type { FakeClock } from './fake-clock.ts'
import type { SocketListeners } from './lines.ts'

/** The server's real transports on free ports of the loopback, without TLS. */
export const socketListeners = (clock: FakeClock): SocketListeners => {
  const open = async (service: Service): Promise<{ readonly port: number; close(): Promise<void> }> => {
    const listeners = await openListeners([{ name: 'test', addresses: ['127.0.0.1'], port: 0, security: 'none', service }], {
      clock,
      log: nullLog,
      metrics: new Metrics(),
      certificates: {
        secureContext: () => {
          throw new Error('no TLS here')
        },
      },
      limits: { connections: 1_000, connectionsPerAddress: 1_000, acceptsPerSecond: 1_000 },
      proxies: [],
      reusePort: false,
    })
    return { port: listeners.ports.test ?? 0, close: async () => listeners.close() }
  }
  return {
    tcp: (accept: Accept) => open({ kind: 'xmpp', accept }),
    websocket: (accept: Accept) =>
      open(
        new HttpServer({
          routes: [],
          upgrades: { '/xmpp-websocket': xmppOverWebSocket({ accept, clock, maxFrameBytes: 300_000 }) },
          log: nullLog,
        }),
      ),
  }
}
