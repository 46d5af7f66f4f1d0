import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { adminPassword, endProcess, keepTail, runToEnd, type ServerOptions, type ServerProcess } from './server-process.ts'

const startAttempts = 100
const modules =
  'roster saslauth tls disco ping version time lastactivity private vcard_legacy blocklist carbons smacks csi_simple offline register websocket pep mam bookmarks presence message iq'

/** Starts Debian's Prosody with a configuration, ports and data of its own, to tell faults of the suite from faults of ours. */
export const startProsody = async (options: ServerOptions): Promise<ServerProcess> => {
  const domain = options.domain ?? 'localhost'
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-conformance-prosody-'))
  const ports = { c2s: await freePort(), tls: await freePort(), http: await freePort() }
  const caFile = join(folder, 'ca.pem')
  await makeCertificate(domain, caFile, join(folder, 'key.pem'))
  await mkdir(join(folder, 'data'))
  const config = join(folder, 'prosody.cfg.lua')
  await writeFile(config, configuration(domain, folder, ports, options.resumeTimeoutSeconds ?? 300))
  const addAccount = (bareJid: string, password: string): Promise<void> => {
    const [localpart = '', domainpart = ''] = bareJid.split('@')
    return runToEnd('prosodyctl', ['--config', config, 'register', localpart, domainpart, password])
  }
  await addAccount(`admin@${domain}`, adminPassword)

  const child = spawn('prosody', ['-F', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  const logTail = keepTail(child)
  await Promise.all([ports.c2s, ports.tls, ports.http].map(listening))
  return {
    domain,
    ports,
    caFile,
    adminPassword,
    addAccount,
    logTail,
    stop: async () => {
      await endProcess(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const configuration = (domain: string, folder: string, ports: ServerProcess['ports'], resumeSeconds: number): string => `
run_as_root = true
pidfile = "${folder}/prosody.pid"
data_path = "${folder}/data"
interfaces = { "127.0.0.1" }
c2s_ports = { ${ports.c2s} }
c2s_direct_tls_ports = { ${ports.tls} }
http_ports = { ${ports.http} }
https_ports = {}
s2s_ports = {}
allow_registration = true
consider_websocket_secure = true
smacks_hibernation_time = ${resumeSeconds}
modules_enabled = { ${modules
  .split(' ')
  .map((name) => `"${name}"`)
  .join(', ')} }
modules_disabled = { "s2s" }
log = { { levels = { min = "info" }, to = "console" } }
admins = { "admin@${domain}" }
ssl = { key = "${folder}/key.pem", certificate = "${folder}/ca.pem" }
VirtualHost "${domain}"
http_host = "localhost"
ssl = { key = "${folder}/key.pem", certificate = "${folder}/ca.pem" }
Component "pubsub.${domain}" "pubsub"
autocreate_on_publish = false
`

const makeCertificate = (domain: string, certificate: string, key: string): Promise<void> => {
  const names = `subjectAltName=DNS:${domain},DNS:localhost,IP:127.0.0.1`
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  return runToEnd('openssl', [...args, '-subj', `/CN=${domain}`, '-addext', names, '-keyout', key, '-out', certificate])
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })

const listening = async (port: number): Promise<void> => {
  for (let attempt = 0; attempt < startAttempts; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen) return
    await delay(100)
  }
  throw new Error(`prosody does not listen on port ${port}`)
}
