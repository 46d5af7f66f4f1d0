import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type CoreConfig, listenAddresses } from '#server/base/config.ts'
import type { Finding } from './finding.ts'

type Protocol = 'xmpp' | 'xmpp over TLS' | 'HTTP' | 'HTTPS'

interface Place {
  readonly key: string
  readonly protocol: Protocol
  readonly address: string
  readonly port: number
}

/** How long a port may take to answer, in milliseconds: this is one's own machine. */
const ANSWER_MS = 2000

/** Each port is free, or a server answers there in the right protocol. */
export const examinePorts = async (config: CoreConfig): Promise<readonly Finding[]> => {
  const findings: Finding[] = []
  for (const place of placesOf(config)) findings.push(...(await examinePort(place, config.domain)))
  return findings
}

const placesOf = (config: CoreConfig): readonly Place[] => {
  const { c2s, tls, http, https, httpAddress, admin } = config.listen
  const everywhere = listenAddresses(config)[0] ?? '::'
  const ports = [
    { key: 'c2s', protocol: 'xmpp', address: everywhere, port: c2s },
    { key: 'tls', protocol: 'xmpp over TLS', address: everywhere, port: tls },
    { key: 'http', protocol: 'HTTP', address: httpAddress, port: http },
    { key: 'https', protocol: 'HTTPS', address: everywhere, port: https },
    { key: 'admin', protocol: 'HTTP', address: '127.0.0.1', port: admin },
  ] as const
  return ports.flatMap(({ port, ...rest }) => (port === 'off' || port === 0 ? [] : [{ ...rest, port }]))
}

const examinePort = async (place: Place, domain: string): Promise<readonly Finding[]> => {
  const { key, port, protocol } = place
  const reply = await ask(place, domain)
  if (reply === undefined) return examineFree(place)
  const isRight =
    protocol === 'HTTP' || protocol === 'HTTPS' ? reply.startsWith('HTTP/1.') : reply.includes('http://etherx.jabber.org/streams')
  if (isRight) return [{ kind: 'good', what: `port ${port} (listen.${key}) answers with ${protocol}` }]
  return [
    {
      kind: 'bad',
      what: `port ${port} (listen.${key}) is taken by something that does not speak ${protocol}`,
      fix: `Find it with: ss -ltnp 'sport = :${port}' – stop it, or write another port as listen.${key}.`,
    },
  ]
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES:
    'Ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= in the systemd unit), or choose a higher port.',
  EADDRNOTAVAIL: 'The machine does not have this address; write one of `ip address` in the configuration.',
  EADDRINUSE: 'Something else listens there and does not answer; find it with `ss -ltnp`.',
}

const examineFree = ({ key, address, port }: Place): Promise<readonly Finding[]> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message
      // A machine without IPv6 listens on IPv4 only.
      if (code === 'EAFNOSUPPORT' || (code === 'EADDRNOTAVAIL' && address === '::')) resolve([])
      else
        resolve([
          {
            kind: 'bad',
            what: `port ${port} (listen.${key}) cannot be opened on ${address}: ${code}`,
            fix: HINTS[code] ?? 'Choose another port.',
          },
        ])
    })
    probe.listen({ port, host: address, exclusive: true }, () =>
      probe.close(() => resolve([{ kind: 'good', what: `port ${port} (listen.${key}) is free` }])),
    )
  })

/** The first bytes that the port answers with; empty when it stays silent, `undefined` when nobody listens. */
const ask = ({ protocol, address, port }: Place, domain: string): Promise<string | undefined> =>
  new Promise((resolve) => {
    const host = address === '::' ? '::1' : address === '0.0.0.0' ? '127.0.0.1' : address
    // Whether the certificate is right is examined from its file.
    const secure = {
      host,
      port,
      servername: domain,
      rejectUnauthorized: false,
      ALPNProtocols: protocol === 'HTTPS' ? ['http/1.1'] : ['xmpp-client'],
    }
    const overTls = protocol === 'HTTPS' || protocol === 'xmpp over TLS'
    const socket: Socket = overTls ? connectTls(secure) : connectTcp({ host, port })
    let isConnected = false
    let reply = ''
    const end = (): void => {
      socket.destroy()
      resolve(isConnected ? reply : undefined)
    }
    socket.setTimeout(ANSWER_MS, end)
    socket.once('connect', () => {
      isConnected = true
    })
    socket.once(overTls ? 'secureConnect' : 'connect', () =>
      socket.write(protocol.startsWith('HTTP') ? httpGreeting(domain) : xmppGreeting(domain)),
    )
    socket.on('data', (chunk: Buffer) => {
      reply += chunk.toString('latin1')
      if (reply.length > 256) end()
    })
    socket.once('end', end)
    socket.once('error', end)
  })

const httpGreeting = (domain: string): string => `GET /healthz HTTP/1.1\r\nhost: ${domain}\r\nconnection: close\r\n\r\n`
const xmppGreeting = (domain: string): string =>
  `<stream:stream to='${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`
