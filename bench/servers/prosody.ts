import { existsSync, globSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { endProcess, freePort, startProcess, waitForPort } from '../processes.ts'
import { type Certificate, certificate } from './certificate.ts'
import type { Launcher, Ports, RunningServer, Setup } from './server.ts'
import { DOMAIN } from './server.ts'

const BINARY = '/usr/bin/prosody'

/** Debian's Prosody on a configuration and a data folder of our own; `sqlite` keeps everything in one database. */
export const prosody = (store: 'files' | 'sqlite' = 'files'): Launcher => ({
  name: store === 'files' ? 'prosody' : 'prosody-sqlite',
  mechanism: 'PLAIN',
  missing() {
    if (!existsSync(BINARY)) return 'apt-get install prosody'
    if (store === 'sqlite' && globSync('/usr/lib/*/lua/5.*/dbd/sqlite3.so').length === 0) return 'apt-get install lua-dbi-sqlite3'
    return undefined
  },
  // Without the archive the choice of store makes no difference to a message.
  suits: (setup) => store === 'files' || setup.archive,
  async start(setup, folder, ports): Promise<RunningServer> {
    const bound: Ports = ports ?? { c2s: await freePort(), tls: await freePort(), http: await freePort() }
    const data = join(folder, 'data')
    mkdirSync(data, { recursive: true })
    const config = join(folder, 'prosody.cfg.lua')
    writeFileSync(config, configuration(setup, store, data, bound, await certificate()))
    const logFile = join(folder, 'bench.log')
    const child = startProcess({ file: BINARY, args: ['-F', '--config', config], logFile })
    child.stdout?.resume()
    await waitForPort(bound.c2s, child, logFile)
    return {
      name: this.name,
      pid: child.pid ?? 0,
      domain: DOMAIN,
      ports: bound,
      websocketUrl: `ws://127.0.0.1:${bound.http}/xmpp-websocket`,
      end: (signal) => endProcess(child, signal),
    }
  },
})

function configuration(setup: Setup, store: 'files' | 'sqlite', data: string, ports: Ports, cert: Certificate): string {
  const archive = setup.archive
  return `
run_as_root = true
pidfile = "${data}/prosody.pid"
data_path = "${data}"
log = { warn = "*stdout" }
plugin_paths = {}
interfaces = { "127.0.0.1" }
http_interfaces = { "127.0.0.1" }
c2s_ports = { ${ports.c2s} }
c2s_direct_tls_ports = { ${ports.tls} }
http_ports = { ${ports.http} }
https_ports = {}
ssl = { certificate = "${cert.certFile}", key = "${cert.keyFile}" }
network_backend = "epoll"
network_settings = { tcp_backlog = 1024 }
gc = { mode = "generational" }
modules_disabled = { "s2s", "s2s_auth_certs" }
modules_enabled = { "roster", "saslauth", "tls", "disco", "carbons", "smacks", "csi", "ping", "register_ibr", "websocket"${archive ? ', "mam"' : ''}${setup.events ? ', "pep"' : ''} }
allow_registration = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
consider_websocket_secure = true
authentication = "${setup.passwords === 'clear' ? 'internal_plain' : 'internal_hashed'}"
password_hash = "${setup.passwords === 'sha256' ? 'SHA-256' : 'SHA-1'}"
smacks_hibernation_time = 600
default_archive_policy = true
archive_expires_after = "never"
${store === 'sqlite' ? `storage = "sql"\nsql = { driver = "SQLite3", database = "${data}/prosody.sqlite" }` : 'storage = "internal"'}
VirtualHost "${DOMAIN}"
`
}
