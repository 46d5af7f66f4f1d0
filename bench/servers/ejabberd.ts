import { globSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { endProcess, freePort, startProcess, waitForPort } from '../processes.ts'
import { type Certificate, certificate } from './certificate.ts'
import type { Launcher, Ports, RunningServer, Setup } from './server.ts'
import { DOMAIN } from './server.ts'

const [ebin] = globSync('/usr/lib/*/ejabberd-2*/ebin')

/** Debian's ejabberd with Mnesia, started straight in the Erlang machine: no distribution, no control script, no system files. */
export const ejabberd: Launcher = {
  name: 'ejabberd',
  mechanism: 'PLAIN',
  missing: () => (ebin === undefined ? 'apt-get install ejabberd' : undefined),
  suits: () => true,
  async start(setup, folder, ports): Promise<RunningServer> {
    const bound: Ports = ports ?? { c2s: await freePort(), tls: await freePort(), http: await freePort() }
    const data = join(folder, 'data')
    mkdirSync(data, { recursive: true })
    const config = join(folder, 'ejabberd.yml')
    writeFileSync(config, configuration(setup, bound, await certificate()))
    const logFile = join(folder, 'bench.log')
    const child = startProcess({
      file: 'erl',
      args: [
        ...['-noinput', '+K', 'true', '+P', '250000', '+S', '2:2', '+sbwt', 'none', '+sbwtdcpu', 'none', '+sbwtdio', 'none'],
        ...['-mnesia', 'dir', JSON.stringify(data), '-s', 'ejabberd'],
      ],
      env: {
        ERL_LIBS: dirname(dirname(ebin ?? '/')),
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(folder, 'ejabberd.log'),
        ERL_CRASH_DUMP_BYTES: '0',
        HOME: folder,
      },
      cwd: folder,
      logFile,
    })
    child.stdout?.resume()
    await waitForPort(bound.c2s, child, logFile)
    return {
      name: 'ejabberd',
      pid: child.pid ?? 0,
      domain: DOMAIN,
      ports: bound,
      websocketUrl: `ws://127.0.0.1:${bound.http}/xmpp-websocket`,
      end: (signal) => endProcess(child, signal),
    }
  },
}

function configuration(setup: Setup, ports: Ports, cert: Certificate): string {
  return `
hosts: [${DOMAIN}]
loglevel: error
certfiles: [${cert.bothFile}]
ca_file: ${cert.certFile}
auth_method: internal
auth_password_format: ${setup.passwords === 'clear' ? 'plain' : 'scram'}
auth_scram_hash: ${setup.passwords === 'sha256' ? 'sha256' : 'sha'}
registration_timeout: infinity
acl: {}
access_rules:
  everyone: { allow: all }
shaper: {}
shaper_rules:
  no_limit: infinity
listen:
  - { port: ${ports.c2s}, ip: "127.0.0.1", module: ejabberd_c2s, access: everyone, shaper: none, starttls: true, backlog: 1024 }
  - { port: ${ports.tls}, ip: "127.0.0.1", module: ejabberd_c2s, access: everyone, shaper: none, tls: true, backlog: 1024 }
  - { port: ${ports.http}, ip: "127.0.0.1", module: ejabberd_http, request_handlers: { /xmpp-websocket: ejabberd_http_ws }, backlog: 1024 }
modules:
  mod_carboncopy: {}
  mod_client_state: {}
  mod_disco: {}
  mod_offline: { access_max_user_messages: no_limit }
  mod_ping: {}
  mod_register: { access: everyone, access_remove: everyone, ip_access: all, password_strength: 0, welcome_message: {} }
  mod_roster: {}
  mod_stream_mgmt: { max_ack_queue: infinity, ack_timeout: infinity, resume_timeout: 600 }
${setup.archive ? '  mod_mam: { db_type: mnesia, default: always, assume_mam_usage: true }\n' : ''}${setup.events ? '  mod_caps: {}\n  mod_pubsub: { plugins: [flat, pep] }\n' : ''}`
}
